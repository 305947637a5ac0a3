"""One run on disk: problem, optimizer, budget and probe become a folder of records."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hessrun import ranks
from hessrun.errors import FolderTakenError, HessrunError, OptionError, RanksError, TooLargeError
from hessrun.optimizers import Optimizer
from hessrun.problems import Problem
from hessrun.record.lock import FolderLock
from hessrun.run.budget import Budget
from hessrun.run.checkpoint import Checkpoint
from hessrun.run.following import Following
from hessrun.run.listener import Outcome
from hessrun.run.loggers import NoLogger
from hessrun.run.loop import Loop
from hessrun.run.noticing import noticing_warnings
from hessrun.run.probe import Probe
from hessrun.run.recording import REFERENCE_GRADIENT, CheckpointPlan, Progress, Recording
from hessrun.run.reference_gradient import reference_gradient_seconds
from hessrun.status import Status


@dataclass(frozen=True)
class Experiment:
    """What a run is made of, and the words that its record keeps (`config`: YAML, `manifest`: JSON).

    lock: on the folder, where there was one before the run; else it is taken with the folder's making.
    resume: where an earlier process left this run.
    """

    problem: Problem
    optimizer: Optimizer[Any]
    budget: Budget
    probe: Probe
    folder: Path
    config: str
    manifest: dict[str, Any]
    log_every: int = 1
    checkpoints: CheckpointPlan = field(default_factory=CheckpointPlan)
    logger: NoLogger = field(default_factory=NoLogger)
    lock: FolderLock | None = None
    resume: Checkpoint | None = None


@dataclass(frozen=True)
class Ended:
    """How an experiment ended. error: one line where the run failed; signal: the one that interrupted it."""

    status: Status
    folder: Path
    outcome: Outcome | None = None
    last_row: dict[str, Any] | None = None
    error: str | None = None
    signal: int | None = None


def run_experiment(experiment: Experiment, progress: Callable[[], Progress] = Progress) -> Ended:
    """Run to the end and leave the record.

    Raises HessrunError for misuse that shows before the start has been evaluated, or at the first step of a new run:
    then no new folder is left behind; among them FolderTakenError where another process was faster. An error after
    that ends the run as failed, with its rows kept and the traceback in run.log.
    """
    recording, resume = _listener(experiment, progress), experiment.resume
    loop = Loop(
        experiment.problem,
        experiment.optimizer,
        experiment.budget,
        experiment.probe,
        recording,
        log_every=experiment.log_every,
    )
    try:
        with noticing_warnings(recording.warn):
            outcome = loop.run(None if resume is None else resume.loop)
        return Ended(outcome.status, experiment.folder, outcome, recording.last_row, signal=_signal_to_any(recording))
    except Exception as error:  # whatever a user's class raises is the run's outcome, not ours
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if not isinstance(error, FolderTakenError):  # which all ranks are told of
            ranks.leave_unless_all(reason)
        if not recording.has_started:
            raise
        trace = "".join(traceback.format_exception(error))
        if resume is None and _is_misuse(error, recording.last_row, loop.reached):
            recording.discard(reason, trace)
            raise
        recording.failed(reason, trace)
        return Ended(Status.FAILED, experiment.folder, last_row=recording.last_row, error=reason)
    finally:
        recording.close()


def _is_misuse(error: Exception, last_row: dict[str, Any] | None, step: int) -> bool:
    """Whether what was asked for is at fault, and the run has come no further than its first step."""
    if last_row is None:
        return isinstance(error, HessrunError) and not isinstance(error, RanksError)
    return isinstance(error, OptionError | TooLargeError) and step <= 1


def _signal_to_any(recording: Recording | Following) -> int | None:
    """The signal that ended the run, whichever rank it came to; the first rank has written by now."""
    own = recording.signal
    try:
        (number,) = ranks.largest(-1 if own is None else own)
    except RanksError:  # another one has ended since: the record is whole
        return own
    return None if number < 0 else int(number)


def _listener(experiment: Experiment, progress: Callable[[], Progress]) -> Recording | Following:
    """What writes the record, or on another rank than the first, keeps step with it."""

    def reference_gradient() -> float:
        return reference_gradient_seconds(experiment.problem)

    if not ranks.is_writer():
        is_timed = REFERENCE_GRADIENT not in experiment.manifest
        return Following(experiment.folder, reference_gradient=reference_gradient, is_timed=is_timed)
    return Recording(
        experiment.folder,
        config=experiment.config,
        manifest=experiment.manifest,
        plan=experiment.checkpoints,
        progress=progress(),
        reference_gradient=reference_gradient,
        logger=experiment.logger,
        lock=experiment.lock,
        resume=experiment.resume,
    )
