"""The gradient that is timed before and after a run: on record, and without a trace in the run."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from test_experiment import experiment

from hessrun.optimizers import SGD
from hessrun.record import read_run
from hessrun.record.protocol import PROTOCOL, VERSIONS
from hessrun.run import run_experiment
from hessrun.run.recording import Recording
from hessrun.run.reference_gradient import reference_gradient_seconds

KEY = "reference_gradient_seconds"


def test_a_run_records_it_before_and_after(tmp_path: Path) -> None:
    run_experiment(experiment(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert 0 < run.manifest[KEY] < 0.1
    assert 0 < run.status[KEY] < 0.1


def test_it_counts_nothing_and_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = experiment(tmp_path / "run")
    before, random = subject.problem.train.counts, torch.get_rng_state()
    reference_gradient_seconds(subject.problem)
    assert subject.problem.train.counts == before
    assert torch.equal(torch.get_rng_state(), random)
    timed = run_experiment(subject)
    monkeypatch.setattr("hessrun.run.experiment.reference_gradient_seconds", lambda problem: 1.0)
    untimed = run_experiment(experiment(tmp_path / "other"))
    assert torch.equal(timed.outcome.x, untimed.outcome.x)
    assert timed.outcome.counts == untimed.outcome.counts


@pytest.mark.parametrize(("one", "times"), [(0.001, 20), (0.01, 5), (0.06, 4), (9.0, 1)])
def test_slow_gradients_are_timed_fewer_times(tmp_path, monkeypatch, one: float, times: int) -> None:
    problem = experiment(tmp_path).problem
    now, calls = [0.0], []

    def evaluate(*_, **__):
        now[0] += one + 1e-12
        calls.append(1)

    monkeypatch.setattr("hessrun.run.reference_gradient.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(type(problem.train), "evaluate", evaluate)
    assert reference_gradient_seconds(problem) == pytest.approx(one)
    assert len(calls) == times


def test_a_run_that_goes_on_keeps_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = experiment(tmp_path / "run", SGD(lr=1e-3))
    times = iter([1.0, 2.0])
    monkeypatch.setattr("hessrun.run.experiment.reference_gradient_seconds", lambda problem: next(times))
    subject.manifest[KEY] = 7.0
    run_experiment(subject)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())[KEY] == 7.0
    assert read_run(tmp_path / "run").status[KEY] == 1.0


def test_a_signal_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Recording.row

    def interrupted(self: Recording, values: dict[str, Any]) -> None:
        row(self, values)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Recording, "row", interrupted)
    run_experiment(experiment(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert (run.state, KEY in run.manifest, KEY in run.status) == ("interrupted", True, False)


def test_each_version_of_the_protocol_is_described() -> None:
    assert list(VERSIONS) == list(range(1, PROTOCOL + 1))
