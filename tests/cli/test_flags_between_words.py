"""Flags stand anywhere among the overrides, and a sweep may replace the optimizer's group by a class."""

from pathlib import Path

import pytest

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES

SMALL = ["problem=rosenbrock", "budget.iterations=2", "curvature=off"]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("found", []), ("expected", 0), ("cells", None), ("stopped", "")):
        monkeypatch.setattr(OUTCOMES, name, value)


@pytest.mark.parametrize(
    "words",
    [
        [*SMALL, "-m", "optimizer=gd,lbfgs"],
        [*SMALL, "optimizer=gd,lbfgs", "--multirun"],
        [*SMALL, "--config-dir", "own", "optimizer=gd,lbfgs", "-m"],
        ["-m", *SMALL, "--config-dir=own", "optimizer=gd,lbfgs"],
    ],
)
def test_flags_may_stand_between_overrides(words: list[str], capsys) -> None:
    Path("own").mkdir()
    assert main(words) == 0
    assert "2 cells: 2 finished" in capsys.readouterr().out


def test_a_flag_without_its_value_is_one_line(capsys) -> None:
    assert main([*SMALL, "--config-dir"]) == 2
    assert capsys.readouterr().err == (
        "hessrun: argument --config-dir/-cd: expected one argument. Hydra's flags: hessrun --hydra-help\n"
    )


def test_a_sweep_whose_optimizer_is_a_class_alone(capsys) -> None:
    class_alone = ["~optimizer", "+optimizer._target_=hessrun.optimizers.LBFGS"]
    assert main(["-m", *SMALL, *class_alone, "seed=0,1"]) == 0
    assert "2 cells: 2 finished" in capsys.readouterr().out
