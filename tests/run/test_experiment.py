"""A run on disk: what it leaves, and what an error or a signal leaves."""

import os
import signal
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hessrun import ranks
from hessrun.errors import OptionError, RanksError, RecordError, TooLargeError
from hessrun.linalg import memory
from hessrun.objective.analytic import rosenbrock
from hessrun.optimizers import BFGS, SGD, Newton
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.record import read_run
from hessrun.record.schema import COLUMNS
from hessrun.run import Budget, Experiment, Probe, run_experiment
from hessrun.run.heap import keep_freed_memory
from hessrun.run.store import claim
from hessrun.status import Status


def experiment(folder, optimizer=None, **changes) -> Experiment:
    f = rosenbrock(2)
    problem = AnalyticProblem(f.objective, f.x0, ProblemFacts("rosenbrock", "analytic", 2, 1, 0.0))
    parts = {"budget": Budget(iterations=9), "probe": Probe(), "log_every": 1} | changes
    return Experiment(problem, optimizer or BFGS(), folder=folder, config="seed: 0\n", manifest={"seed": 0}, **parts)


def test_the_record_holds_rows_spectra_and_the_final_point(tmp_path) -> None:
    ended = run_experiment(experiment(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert ended.status is Status.ITERATIONS_SPENT
    assert run.state == "finished"
    assert run.rows["step"].tolist() == list(range(10))
    always = {c.name for c in COLUMNS if not c.name.startswith(("validation", "test"))}
    assert always <= set(run.rows)
    assert [spectrum.step for spectrum in run.spectra] == [0, 1, 2, 4, 8, 9]
    point = np.load(tmp_path / "run" / "points" / "000009.npz")["x"]
    final = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert np.array_equal(point, final["x"].numpy())
    assert np.array_equal(point, ended.outcome.x.numpy())
    plain = pd.read_json(tmp_path / "run" / "trace.jsonl", lines=True)
    assert plain["train_loss"].tolist() == pytest.approx(run.rows["train_loss"].tolist())


def test_counts_are_the_calls_made(tmp_path) -> None:
    subject = experiment(tmp_path / "run", SGD(lr=1e-3), probe=Probe(schedule="every", every=1))
    calls = []
    function = subject.problem.train._function
    subject.problem.train._function = lambda x: calls.append(1) or function(x)
    run_experiment(subject)
    rows = read_run(tmp_path / "run").rows
    assert rows["gradients"].tolist() == [float(k + 1) for k in range(10)]
    assert rows["products"].max() == 0


@pytest.mark.parametrize("log_every", [1, 3, 100])
def test_logging_never_touches_the_result(tmp_path, log_every: int) -> None:
    ended = run_experiment(experiment(tmp_path / "run", log_every=log_every))
    rows = read_run(tmp_path / "run").rows
    assert rows["step"].tolist() == sorted({*range(0, 10, log_every), 9})
    reference = run_experiment(experiment(tmp_path / "other"))
    assert torch.equal(ended.outcome.x, reference.outcome.x)


class _Breaks(SGD):
    def step(self, problem, state):
        if state.step == 3:
            raise ZeroDivisionError("at the third step")
        return super().step(problem, state)


def test_an_error_of_a_users_class_fails_the_run_and_keeps_its_rows(tmp_path) -> None:
    ended = run_experiment(experiment(tmp_path / "run", _Breaks(lr=1e-3)))
    run = read_run(tmp_path / "run")
    assert (ended.status, run.state) == (Status.FAILED, "failed")
    assert run.status["reason"] == ended.error == "ZeroDivisionError: at the third step"
    assert run.rows["step"].tolist() == [0, 1, 2, 3]
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()


class _Interrupted(SGD):
    def step(self, problem, state):
        if state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().step(problem, state)


def test_a_signal_ends_the_run_after_its_step(tmp_path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ended = run_experiment(experiment(tmp_path / "run", _Interrupted(lr=1e-3)))
    assert (ended.status, ended.signal) == (Status.INTERRUPTED, signal.SIGTERM)
    assert read_run(tmp_path / "run").rows["step"].tolist() == [0, 1, 2, 3, 4]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("optimizer", [BFGS(), Newton()], ids=repr)
def test_a_matrix_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch, optimizer) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 8)
    with pytest.raises(TooLargeError, match="optimizer=lbfgs"):
        run_experiment(experiment(tmp_path / "run", optimizer))
    assert not (tmp_path / "run").exists()


def test_a_second_run_replaces_what_an_unfinished_one_left(tmp_path) -> None:
    run_experiment(experiment(tmp_path / "run", _Breaks(lr=1e-3)))
    found = claim(experiment(tmp_path / "run", SGD(lr=1e-3)), force=False, differing=lambda config: [])
    assert found.lines == (f"starting anew, since it had left no checkpoint: {tmp_path / 'run'}",)
    run_experiment(found.experiment)
    assert read_run(tmp_path / "run").rows["step"].tolist() == list(range(10))
    assert not (tmp_path / "run" / "run.log").exists()


class _Warns(SGD):
    def step(self, problem, state):
        if state.step > 1:
            warnings.warn("is slow\nhere", UserWarning, stacklevel=1)
            warnings.warn(f"differs {min(state.step, 3)}", FutureWarning, stacklevel=1)
        return super().step(problem, state)


def test_warnings_are_recorded_once_and_shown_once(tmp_path) -> None:
    told = ["UserWarning: is slow here", "FutureWarning: differs 2", "FutureWarning: differs 3"]
    for name in ("run", "other"):
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("default")
            run_experiment(experiment(tmp_path / name, _Warns(lr=1e-3)))
        assert read_run(tmp_path / name).manifest["warnings"] == told
        assert [str(one.message) for one in shown] == ["is slow\nhere", "differs 2", "differs 3"]


class _Takes(SGD):
    n = 2

    def step(self, problem, state):
        torch.ones(self.n, dtype=torch.float64)
        return super().step(problem, state)


def test_the_status_says_how_much_memory_the_run_took(tmp_path) -> None:
    keep_freed_memory()
    freed_before = [torch.ones(2**20, dtype=torch.float64) for _ in range(25)]
    del freed_before  # 200 MiB that the process keeps: more than the run takes
    peaks = []
    for name, n in (("large", 2**24), ("small", 2)):
        _Takes.n = n
        run_experiment(experiment(tmp_path / name, _Takes(lr=1e-3), budget=Budget(iterations=2)))
        peaks.append(read_run(tmp_path / name).status["peak_memory_bytes"])
    assert peaks[0] > 8 * 2**24
    if Path("/proc/self/clear_refs").exists():  # each run's own, not that of the process
        assert peaks[0] - peaks[1] > 4 * 2**24


def test_a_run_whose_record_is_whole_does_not_fail_by_a_rank_that_ends_after_it(tmp_path, monkeypatch) -> None:
    largest = ranks.largest

    def gone(*values: float) -> tuple[float, ...]:
        if values == (-1,):  # what is asked once the run has ended
            raise RanksError("another of the 2 ranks has ended.")
        return largest(*values)

    monkeypatch.setattr(ranks, "largest", gone)
    ended = run_experiment(experiment(tmp_path / "run"))
    assert (ended.status, ended.signal) == (Status.ITERATIONS_SPENT, None)
    assert read_run(tmp_path / "run").state == "finished"


def test_a_folder_that_cannot_be_looked_into_is_one_line(tmp_path) -> None:
    with pytest.raises(RecordError, match=r"cannot be (looked into|written to) \(File name too long\)"):
        run_experiment(claim(experiment(tmp_path / ("x" * 300)), force=False, differing=lambda config: []).experiment)


class _Refuses(SGD):
    """Sees at its first step that it cannot work here, as a third party's class does that needs a graph."""

    def step(self, problem, state):
        raise OptionError("needs a graph")


def test_misuse_that_shows_at_the_first_step_leaves_nothing_behind(tmp_path) -> None:
    """But a folder that was there before stays, with the reason."""
    (tmp_path / "made").mkdir()
    for folder in (tmp_path / "a" / "b" / "run", tmp_path / "made"):
        with pytest.raises(OptionError, match="needs a graph"):
            run_experiment(experiment(folder, _Refuses(lr=1e-3)))
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert read_run(tmp_path / "made").status["reason"] == "OptionError: needs a graph"


class _RefusesLater(SGD):
    """As a class that notices at a later step."""

    def step(self, problem, state):
        if state.step == 5:
            raise OptionError("after all")
        return super().step(problem, state)


def test_a_run_that_has_come_further_is_kept_also_where_no_row_says_so(tmp_path) -> None:
    ended = run_experiment(experiment(tmp_path / "run", _RefusesLater(lr=1e-3), log_every=100, probe=Probe(kind="off")))
    assert ended.status is Status.FAILED
    assert read_run(tmp_path / "run").status["reason"] == "OptionError: after all"


def test_a_spectrum_that_does_not_fit_leaves_nothing_behind_either(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 8)
    with pytest.raises(TooLargeError, match="curvature=lanczos, density or off"):
        run_experiment(experiment(tmp_path / "run", SGD(lr=1e-3), probe=Probe(kind="exact")))
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_says_that_another_look_at_its_curvature_was_asked_for(tmp_path) -> None:
    parts = experiment(tmp_path / "run")
    run_experiment(replace(parts, config="curvature: {kind: 'off'}\n"))
    for kind, is_told in (("off", False), ("exact", True)):
        asked = replace(parts, config=f"curvature: {{kind: '{kind}'}}\n")
        (line,) = claim(asked, force=False, differing=lambda config: []).lines
        assert ("hessrun spectrum" in line) is is_told
