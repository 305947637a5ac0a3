"""One run on disk: problem, optimizer, budget and probe become a folder of records."""

import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from hessrun.errors import HessrunError
from hessrun.optimizers import Optimizer
from hessrun.problems import Problem
from hessrun.record import RunWriter, Spectrum
from hessrun.record.schema import CHECKPOINT, LOG, POINTS, SPECTRA, TRACE
from hessrun.run.budget import Budget
from hessrun.run.loop import Loop, Outcome
from hessrun.run.probe import Probe
from hessrun.run.provenance import now
from hessrun.status import Status


class Progress:
    """Shows a run to a person; this one shows nothing."""

    def update(self, row: dict[str, Any]) -> None:
        """A recorded step."""

    def close(self) -> None:
        """The run has ended."""


@dataclass(frozen=True)
class Experiment:
    """What a run is made of, and the words that its record keeps (`config`: YAML, `manifest`: JSON)."""

    problem: Problem
    optimizer: Optimizer[Any]
    budget: Budget
    probe: Probe
    folder: Path
    config: str
    manifest: dict[str, Any]
    log_every: int = 1


@dataclass(frozen=True)
class Ended:
    """How an experiment ended. error: one line where the run failed; signal: the one that interrupted it."""

    status: Status
    folder: Path
    outcome: Outcome | None = None
    last_row: dict[str, Any] | None = None
    error: str | None = None
    signal: int | None = None


class _Recording:
    """Writes the folder, once the start has been evaluated. SIGINT and SIGTERM end the run after its step."""

    def __init__(self, experiment: Experiment, progress: Progress) -> None:
        self._experiment, self._progress = experiment, progress
        self._writer: RunWriter | None = None
        self._started = now()
        self._handlers: dict[int, Any] = {}
        self.last_row: dict[str, Any] | None = None
        self.signal: int | None = None

    @property
    def interrupted(self) -> bool:
        return self.signal is not None

    @property
    def writer(self) -> RunWriter:
        if self._writer is None:
            raise RuntimeError("a run is recorded after it has started")
        return self._writer

    def started(self) -> None:
        experiment = self._experiment
        clear(experiment.folder)
        self._writer = RunWriter(experiment.folder, config=experiment.config, manifest=experiment.manifest)
        self._status(Status.RUNNING)
        self._catch_signals()

    def _catch_signals(self) -> None:
        def note(number: int, _: FrameType | None) -> None:
            if self.signal is not None:
                raise KeyboardInterrupt
            self.signal = number

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._handlers[number] = signal.signal(number, note)
            except ValueError:  # not the main thread: the caller's signals are the caller's
                return

    def row(self, row: dict[str, Any]) -> None:
        self.writer.row(row)
        self.last_row = row
        self._progress.update(row)

    def spectrum(self, spectrum: Spectrum, x: Tensor) -> None:
        self.writer.spectrum(spectrum, x.detach().cpu().numpy())

    def ended(self, outcome: Outcome) -> None:
        final = {"x": outcome.x.cpu(), "best_x": outcome.best.x.detach().cpu(), "step": outcome.steps}
        path = self._experiment.folder / CHECKPOINT
        temporary = path.with_name(path.name + ".tmp")
        torch.save(final, temporary)
        temporary.replace(path)
        self._status(outcome.status, steps=outcome.steps, seconds=outcome.seconds, best_loss=float(outcome.best.value))

    def failed(self, error: Exception) -> str:
        """Keep the traceback in run.log and the reason in status.json; the reason as a line."""
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        with (self._experiment.folder / LOG).open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
        self._status(Status.FAILED, reason=reason)
        return reason

    def _status(self, status: Status, *, reason: str | None = None, **facts: Any) -> None:
        times = {"started": self._started, "ended": None if status is Status.RUNNING else now()}
        self.writer.status(
            state=status.state.value, status=status.value, reason=reason or status.sentence, **facts, **times
        )

    def close(self) -> None:
        self._progress.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._writer is not None:
            self._writer.close()


def clear(folder: Path) -> None:
    """Remove what an unfinished earlier run of the same configuration left, and nothing else."""
    for name in (TRACE, CHECKPOINT, LOG):
        (folder / name).unlink(missing_ok=True)
    for name in (SPECTRA, POINTS):
        for path in (folder / name).glob("*.npz"):
            path.unlink()


def run_experiment(experiment: Experiment, progress: Callable[[], Progress] = Progress) -> Ended:
    """Run to the end and leave the record.

    Raises HessrunError for misuse that shows before the start has been evaluated: then nothing is written. An error
    after that ends the run as failed, with its rows kept and the traceback in run.log.
    """
    recording = _Recording(experiment, progress())
    loop = Loop(
        experiment.problem,
        experiment.optimizer,
        experiment.budget,
        experiment.probe,
        recording,
        log_every=experiment.log_every,
    )
    try:
        outcome = loop.run()
        return Ended(outcome.status, experiment.folder, outcome, recording.last_row, signal=recording.signal)
    except Exception as error:  # whatever a user's class raises is the run's outcome, not ours
        if recording._writer is None or (isinstance(error, HessrunError) and recording.last_row is None):
            raise
        return Ended(Status.FAILED, experiment.folder, last_row=recording.last_row, error=recording.failed(error))
    finally:
        recording.close()
