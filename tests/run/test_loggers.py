"""Loggers beside the record: told of everything, closed at every exit, and never the end of a run."""

from pathlib import Path

import pytest
from test_experiment import _Breaks, experiment

from hessrun.errors import OptionError
from hessrun.optimizers import BFGS
from hessrun.record import read_run
from hessrun.run import run_experiment
from hessrun.run.loggers import NoLogger, TensorBoardLogger
from hessrun.status import Status


class Kept(NoLogger):
    def __init__(self, fails_at: str = "") -> None:
        self.told: list[str] = []
        self.fails_at = fails_at

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what == self.fails_at:
            raise ConnectionError("nobody there")

    def started(self, folder, manifest, config) -> None:
        self._note("started")

    def row(self, row) -> None:
        self._note(f"row {row['step']}")

    def spectrum(self, spectrum) -> None:
        self._note(f"spectrum {spectrum.step}")

    def close(self) -> None:
        self._note("close")


def test_a_logger_is_told_of_everything_and_closed(tmp_path: Path) -> None:
    logger = Kept()
    run_experiment(experiment(tmp_path / "run", logger=logger))
    rows = [f"row {step}" for step in range(10)]
    assert [what for what in logger.told if what.startswith("row")] == rows
    assert {"spectrum 0", "spectrum 1", "spectrum 8", "spectrum 9"} <= set(logger.told)
    assert (logger.told[0], logger.told[-1], logger.told.count("close")) == ("started", "close", 1)


def test_a_logger_is_closed_where_a_run_fails(tmp_path: Path) -> None:
    logger = Kept()
    assert run_experiment(experiment(tmp_path / "run", _Breaks(lr=1e-3), logger=logger)).status is Status.FAILED
    assert logger.told[-1] == "close"


@pytest.mark.parametrize("fails_at", ["started", "row 4", "spectrum 4", "close"])
def test_a_logger_that_fails_is_named_and_left(tmp_path: Path, fails_at: str) -> None:
    logger = Kept(fails_at)
    ended = run_experiment(experiment(tmp_path / "run", logger=logger))
    assert ended.status is Status.ITERATIONS_SPENT
    run = read_run(tmp_path / "run")
    assert len(run.trace) == 10
    (warning,) = run.manifest["warnings"]
    assert warning == f"The logger Kept failed at `{fails_at.split()[0]}` and was left: ConnectionError: nobody there"
    assert logger.told[-1] == fails_at


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_the_rows_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_experiment(experiment(tmp_path / "run", BFGS(), logger=TensorBoardLogger()))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    losses = [row["train_loss"] for row in read_run(tmp_path / "run").trace]
    read = events.Scalars("train_loss")
    assert [event.step for event in read] == list(range(10))
    assert [event.value for event in read] == pytest.approx(losses, rel=1e-6)
    assert "largest_eigenvalue" in events.Tags()["scalars"]


@pytest.mark.parametrize("wrong", [{"folder": "../up"}, {"folder": "/up"}, {"folder": ""}, {"flush_seconds": 0}])
def test_options_outside_their_ranges_are_refused(wrong: dict) -> None:
    pytest.importorskip("tensorboard")
    with pytest.raises(OptionError, match="logger"):
        TensorBoardLogger(**wrong)
