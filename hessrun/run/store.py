"""What a run's folder holds already: nothing, a finished run, or one to go on with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hessrun.errors import RecordError
from hessrun.record import Run, read_run
from hessrun.record.lock import FolderLock
from hessrun.record.schema import MANIFEST, passes_of
from hessrun.run.budget import Budget, Progress, decide
from hessrun.run.checkpoint import Checkpoint, newest
from hessrun.run.experiment import Experiment
from hessrun.run.provenance import now
from hessrun.status import RunState, Status

# What no run's identity holds, so that a finished run is found whatever it recorded, and what shapes the rows to come.
SHAPING = ("log_every", "curvature")


@dataclass(frozen=True)
class Claim:
    """experiment: to be run, its folder locked where there was one; None where nothing is left to do.

    lines: what there is to say, a sentence each.
    """

    experiment: Experiment | None
    lines: tuple[str, ...] = ()


def claim(experiment: Experiment, *, force: bool, differing: Callable[[dict[str, Any]], list[str]]) -> Claim:
    """Look at the folder, lock it, and say what there is to do.

    force: where there is a run, make a new one beside it, or go on with the newest one beside it that is not done.
    differing: the keys of a stored configuration in which it is another one than that of `experiment`.
    Raises FolderTakenError where another process runs it, RecordError where the record is damaged, of another
    configuration, or of other data.
    """
    folder = experiment.folder
    try:
        is_new = not (folder / MANIFEST).exists()
    except OSError as error:
        raise RecordError(f"{folder}: cannot be looked into ({error.strerror}).") from None
    if is_new:
        return Claim(experiment)
    if force:
        beside, is_new = beside_of(experiment)
        if is_new:
            return Claim(beside)
        experiment = beside
    lock = FolderLock(experiment.folder)
    try:
        found = _claimed(experiment, lock, differing)
    except BaseException:
        lock.release()
        raise
    if found.experiment is None:
        lock.release()
    return found


def _claimed(experiment: Experiment, lock: FolderLock, differing: Callable[[dict[str, Any]], list[str]]) -> Claim:
    folder = experiment.folder
    try:
        run = read_run(folder)
    except RecordError as error:
        raise RecordError(f"{error} Move the folder away, or run beside it with force=true.") from None
    others = differing(run.config)
    if others:
        raise RecordError(
            f"{folder}: holds a run of another configuration ({', '.join(others)}): move it away, or choose another "
            "experiment=NAME."
        )
    changed = _changed(run.manifest, experiment.manifest)
    if changed:
        raise RecordError(
            f"{folder}: {changed} since it ran: move it away, run beside it with force=true, or choose another "
            "experiment=NAME."
        )
    was_done = _is_done(run)
    if was_done and would_end(run, experiment.budget):
        return Claim(
            None, (f"already finished: {folder} (force=true runs it anew, beside it{_unmet(run, experiment)})",)
        )
    point, complaints = newest(folder, experiment.manifest.get("run_id", ""), experiment.problem.x0.device)
    manifest = _continued(run.manifest, experiment.manifest, point, complaints)
    if point is not None:
        complaints.append(f"going on from step {point.step}: {folder}")
    elif run.trace:
        why = "its state was too large to keep" if was_done else "it had left no checkpoint"
        complaints.append(f"starting anew, since {why}: {folder}")
    return Claim(replace(experiment, lock=lock, resume=point, manifest=manifest), tuple(complaints))


def _unmet(run: Run, experiment: Experiment) -> str:
    """What to do where this command asks for other spectra than the finished run recorded."""
    if run.config.get("curvature") == yaml.safe_load(experiment.config).get("curvature"):
        return ""
    return f"; its curvature was recorded otherwise than asked: hessrun spectrum {run.path} looks at points it kept"


def _is_done(run: Run) -> bool:
    return run.state in (RunState.FINISHED, RunState.DIVERGED)


def _changed(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """What has become another problem under the same configuration: files that were written anew, an edited class."""
    then, present = (manifest.get("problem", {}) for manifest in (old, new))
    prints = [problem.get("details", {}).get("fingerprint") for problem in (then, present)]
    if None not in prints and prints[0] != prints[1]:
        return "its data have changed"
    sizes = [problem.get("n_parameters") for problem in (then, present)]
    if None not in sizes and sizes[0] != sizes[1]:
        return f"its model has changed, from {sizes[0]:,} parameters to {sizes[1]:,}"
    return None


def would_end(run: Run, budget: Budget) -> bool:
    """Whether a run that is done would have ended where it did under this budget too; there would be nothing to do."""
    status = Status(run.status.get("status", Status.CONVERGED))
    if not status.is_of_the_budget or not run.trace:
        return True
    first, last = run.trace[0], run.trace[-1]
    return (
        decide(
            budget,
            Progress(
                step=last["step"],
                seconds=last["seconds"],
                passes=passes_of(last),
                loss=last["train_loss"],
                gradient_max=last["gradient_max"],
                first_gradient_max=first["gradient_max"],
                negative_curvature=False,
                failure=None,
                interrupted=False,
            ),
        )
        is not None
    )


def _continued(
    old: dict[str, Any], new: dict[str, Any], point: Checkpoint | None, complaints: list[str]
) -> dict[str, Any]:
    """The manifest of a run that goes on: the first one's, and where and with what it went on."""
    if point is None:
        return new | {"warnings": [*new.get("warnings", []), *complaints]}
    compared = ("versions", "device_name", "threads", "ranks", "platform")
    changed = [key for key in compared if old.get(key) != new.get(key)]
    warnings = [*old.get("warnings", []), *complaints]
    if changed:
        warnings.append(
            f"From step {point.step} on with other {', '.join(changed)}: not bitwise the path of one uninterrupted run."
        )
    asked = {key: new[key] for key in ("suite", "role", "target") if key in new}
    resumed = {"at": now(), "step": point.step} | {key: new.get(key) for key in compared}
    return old | asked | {"warnings": warnings, "resumed": [*old.get("resumed", []), resumed]}


def beside_of(experiment: Experiment) -> tuple[Experiment, bool]:
    """The experiment in the folder `-rN` where a forced run goes on, or in the next one; and whether that is new.

    A forced run that was cut off is met again by the same command; not one that failed, or of other data, or that was
    begun with other rows and spectra, which is what force=true is for.
    """

    def numbered(number: int) -> Path:
        return experiment.folder.with_name(f"{experiment.folder.name}-r{number}")

    number = 2
    while numbered(number).exists():
        number += 1
    if number > 2 and _goes_on(numbered(number - 1), experiment):
        return replace(experiment, folder=numbered(number - 1)), False
    return replace(experiment, folder=numbered(number)), True


def _goes_on(folder: Path, experiment: Experiment) -> bool:
    try:
        run = read_run(folder)
    except RecordError:
        return False
    is_cut_off = run.state in (RunState.RUNNING, RunState.INTERRUPTED)
    asked = yaml.safe_load(experiment.config)
    is_alike = all(run.config.get(key) == asked.get(key) for key in SHAPING)
    return is_cut_off and is_alike and _changed(run.manifest, experiment.manifest) is None
