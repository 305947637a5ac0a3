"""A class of the user's own that raises before its run has started: a line with the place, and the other cells run."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES
from hessrun.record import find_runs

CLASSES = """\
import torch
from torch import nn


class Misspelt(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.fc = nn.Linear(64, n_outputs)

    def forward(self, x):
        return self.fb(x.flatten(1))


class Unmade(nn.Module):
    def __init__(self):
        super().__init__()
        raise KeyError("width")


class Fine(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.fc = nn.Linear(64, n_outputs)

    def forward(self, x):
        return self.fc(x.flatten(1))


class NoStart(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        raise ZeroDivisionError("of mine")
"""
RUN = ["dataset.limit=60", "budget.iterations=2", "curvature=off", "progress=off"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """The command in a folder that holds the classes: exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_classes.py").write_text(CLASSES)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("own_classes", None)

    def run(*words: str) -> tuple[int, str, str]:
        for name, empty in (("found", []), ("expected", 0), ("cells", None), ("stopped", "")):
            monkeypatch.setattr(OUTCOMES, name, empty)
        capfd.readouterr()
        return main(list(words)), *capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("words", "named", "line"),
    [
        (["model._target_=own_classes.Misspelt"], "AttributeError: 'Misspelt' object has no attribute 'fb'", 11),
        (["model._target_=own_classes.Unmade"], "KeyError: 'width'", 17),
        (["optimizer._target_=own_classes.NoStart"], "of mine", None),
    ],
)
def test_one_line_says_what_and_where_and_nothing_is_written(command, words, named: str, line: int | None) -> None:
    code, _, told = command(*words, *RUN)
    assert code in (1, 2)
    assert named in told
    assert told.count("\n") == 1
    if line is not None:
        assert code == 1
        assert f"own_classes.py, line {line})" in told
    assert not Path("outputs").exists() or not list(Path("outputs").rglob("manifest.json"))


def test_the_whole_way_there_is_shown_where_it_is_asked_for(command, monkeypatch) -> None:
    monkeypatch.setenv("HESSRUN_TRACEBACK", "1")
    code, _, told = command("model._target_=own_classes.Misspelt", *RUN)
    assert code == 1
    assert "Traceback (most recent call last)" in told
    assert told.splitlines()[-1].startswith("hessrun: AttributeError")


def test_in_a_sweep_the_other_cells_run_and_the_table_is_shown(command) -> None:
    code, shown, told = command(
        "-m", "optimizer=gd", "model._target_=own_classes.Misspelt,own_classes.Fine", *RUN, "hydra/launcher=basic"
    )
    assert code == 1
    assert "2 cells: 1 failed, 1 finished" in shown
    assert "no attribute 'fb'" in told
    assert "Traceback" not in told
    assert len(find_runs(["outputs"])) == 1


def test_a_sweep_that_is_to_stop_at_an_error_stops(command) -> None:
    models = "model._target_=own_classes.Misspelt,own_classes.Fine"
    code, shown, _ = command("-m", "optimizer=gd", models, *RUN, "on_error=stop")
    assert code == 1
    assert "2 cells: 1 failed, 1 not run" in shown
