"""The time left of a sweep: from the cells of the same method, for as many at a time as run at once."""

import os

import pytest

from hessrun.cli.outcomes import JobOutcome
from hessrun.cli.sweep_progress import Tally, note, shown


def ended(monkeypatch, tmp_path, *cells: tuple[str, str, int, float]) -> list[str]:
    path = tmp_path / "cells"
    monkeypatch.setenv("HESSRUN_ENDED_CELLS", str(path))
    for method, state, code, seconds in cells:
        note(JobOutcome("name", state, "", code), method, seconds)
    return path.read_text().splitlines()


@pytest.mark.parametrize("at_once", [1, 2, None])
def test_each_method_has_its_own_mean(monkeypatch, tmp_path, at_once) -> None:
    tally = Tally(["sgd"] * 3 + ["bfgs"] * 4 + ["newton"], at_once)
    assert tally.left() is None
    lines = ended(
        monkeypatch,
        tmp_path,
        ("sgd", "finished", 0, 8.0),
        ("sgd", "diverged", 0, 12.0),
        ("bfgs", "finished", 0, 30.0),
        ("bfgs", "skipped", 0, 0.01),
    )
    for line in lines:
        tally.add(line)
    # The mean of all that ran, (8 + 12 + 30) / 3, is for what has not run yet.
    wanted = None if at_once is None else (1 * 10 + 2 * 30 + 50 / 3) / at_once
    assert tally.left() == (None if wanted is None else pytest.approx(wanted))
    assert (tally.done, tally.failed) == (4, 0)


def test_failures_are_counted_and_nothing_is_left_at_the_end(monkeypatch, tmp_path) -> None:
    tally = Tally(["sgd"] * 3, 1)
    states = [("sgd", "failed", 1, 1.0), ("sgd", "refused", 2, 0.0), ("sgd", "finished", 0, 3.0)]
    for line in ended(monkeypatch, tmp_path, *states):
        tally.add(line)
    assert str(tally) == "2 failed"


def test_it_is_quiet_where_it_is_not_asked_and_asks_nobody_afterwards(capfd) -> None:
    with shown(["sgd"], at_once=1, show=False):
        assert "HESSRUN_ENDED_CELLS" not in os.environ
        note(JobOutcome("name", "finished", "", 0), "sgd", 1.0)
    assert capfd.readouterr() == ("", "")
    for _ in range(2):  # a suite of two parts
        with shown(["sgd", "sgd"], at_once=1, show=True):
            note(JobOutcome("name", "finished", "", 0), "sgd", 65.0)
        assert "sweep: 1 of 2 cells" in (told := capfd.readouterr().err)
        assert "about 01:05 left" in told
    assert "HESSRUN_ENDED_CELLS" not in os.environ
