"""Suites: cells with grids of their own, what a dry run says of them, and what ends them."""

from pathlib import Path

import pytest
import yaml
from test_command import hessrun

from hessrun.cli.cells import expand
from hessrun.cli.suite_files import read_suites, shipped
from hessrun.cli.tuning import parse_tuning
from hessrun.errors import OptionError
from hessrun.record import find_runs, read_run

SUITE = {
    "base": ["dataset=digits", "dataset.limit=120", "model=linear", "budget.iterations=3", "curvature=off"],
    "product": {"seed": [0, 1]},
    "cells": [{"optimizer": "sgd", "product": {"optimizer.lr": [0.1, 1.0]}}, {"optimizer": ["lbfgs", "bfgs"]}],
    "exclude": [{"optimizer": "bfgs", "seed": 1}],
}


def test_each_cell_has_its_own_grid() -> None:
    cells = [list(cell.words[5:]) for cell in expand({**SUITE, "order": "given"}, name="s")]
    assert cells == [
        ["optimizer=sgd", "optimizer.lr=0.1", "seed=0"],
        ["optimizer=sgd", "optimizer.lr=0.1", "seed=1"],
        ["optimizer=sgd", "optimizer.lr=1.0", "seed=0"],
        ["optimizer=sgd", "optimizer.lr=1.0", "seed=1"],
        ["optimizer=lbfgs", "seed=0"],
        ["optimizer=lbfgs", "seed=1"],
        ["optimizer=bfgs", "seed=0"],
    ]
    shuffled = expand(SUITE, name="s")
    assert shuffled == expand(SUITE, name="s")
    assert sorted(list(cell.words[5:]) for cell in shuffled) == sorted(cells)
    assert [list(cell.words[5:]) for cell in shuffled] != cells


def test_a_zip_goes_through_its_lists_together_and_values_are_written_as_hydra_reads_them() -> None:
    zipped = {"optimizer": "adam", "zip": {"optimizer.lr": [0.1, None], "model.hidden": [[4, 4], []]}}
    assert [cell.words for cell in expand({"cells": [zipped], "order": "given"}, name="s")] == [
        ("optimizer=adam", "optimizer.lr=0.1", "model.hidden=[4,4]"),
        ("optimizer=adam", "optimizer.lr=null", "model.hidden=[]"),
    ]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"cell": []}, "'cell' is no key of a suite: base, product, cells, exclude, order"),
        ({"cells": []}, "at least one mapping"),
        ({"cells": ["optimizer=sgd"]}, "a cell must be a mapping"),
        ({"cells": [{"optimizer": "sgd"}], "order": "fast"}, "must be one of random, given"),
        ({"cells": [{"optimizer": "sgd"}], "base": ["digits"]}, "a list of overrides"),
        ({"cells": [{"optimizer": "sgd"}], "product": {"seed": 3}}, "seed must be a list of values; got 3"),
        ({"cells": [{"optimizer": "sgd"}, {"optimizer": "sgd"}]}, "has the cell optimizer=sgd twice"),
        ({"cells": [{"zip": {"a": [1], "b": [1, 2]}}]}, "as many values of each: a has 1, b has 2"),
        ({"cells": [{"optimizer": "sgd"}], "exclude": [{"optimizer": "sgd"}]}, "leaves no cell"),
    ],
)
def test_what_is_wrong_with_a_suite_is_one_line(wrong: dict, line: str) -> None:
    with pytest.raises(OptionError) as raised:
        expand(wrong, name="mine")
    assert line in str(raised.value)
    assert str(raised.value).startswith("suite mine")
    assert "\n" not in str(raised.value)


def test_shipped_suites_expand() -> None:
    for name in shipped():
        for file in read_suites(name):
            assert expand(file.content, name=file.name)
            if "tuning" in file.content:
                assert parse_tuning(file.content["tuning"], file.name).trials > 0


def test_a_suite_is_forecast_run_and_extended(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SUITE))
    dry = hessrun(tmp_path, "suite", "mine.yaml", "--dry-run")
    assert "7 cells: 7 new" in dry.stdout
    assert "to come: 7 cells the like of which has not run\n" in dry.stdout
    assert "dry_run" not in dry.stdout
    assert "optimizer=sgd optimizer.lr=0.1 seed=0" in dry.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    done = hessrun(tmp_path, "suite", "mine.yaml")
    assert "7 cells: 7 finished" in done.stdout
    assert len(find_runs([tmp_path])) == 7
    assert "7 cells: 7 skipped" in hessrun(tmp_path, "suite", "mine.yaml").stdout
    longer = hessrun(tmp_path, "suite", "mine.yaml", "budget.iterations=5", "--dry-run").stdout
    assert "7 cells: 7 to extend" in longer
    assert "to come: about 0 s\n" in longer
    assert all(len(read_run(folder).trace) == 4 for folder in find_runs([tmp_path]))


@pytest.mark.parametrize(
    ("on_error", "counted"), [("continue", "1 failed, 1 finished"), ("stop", "1 failed, 1 not run")]
)
def test_a_cell_that_fails_ends_a_sweep_or_does_not(tmp_path: Path, on_error: str, counted: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom hessrun.optimizers import SGD\n\n@dataclass(frozen=True)\n"
        "class Breaks(SGD):\n    def step(self, problem, state):\n        raise RuntimeError('no')\n"
    )
    suite = {
        "base": SUITE["base"],
        "cells": [{"optimizer": "sgd", "optimizer._target_": "mine.Breaks"}, {"optimizer": "lbfgs"}],
        "order": "given",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
    done = hessrun(tmp_path, "suite", "mine.yaml", f"on_error={on_error}", code=1)
    assert f"2 cells: {counted}" in done.stdout
    assert "RuntimeError: no" in done.stdout


def test_wrong_words_are_one_line(tmp_path: Path) -> None:
    for words, line in (
        (["suite"], "takes a name or a YAML file: families"),
        (["suite", "familie"], "Did you mean 'families'?"),
        (["suite", "none.yaml"], "cannot be read"),
        (["suite", "families", "budget.iteration=3"], "budget.iteration"),
        (["suite", "families", "on_error=maybe"], "on_error"),
    ):
        done = hessrun(tmp_path, *words, code=2)
        assert line in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
