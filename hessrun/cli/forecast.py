"""What a dry run says of a cell: how its folder stands, and about how long it would take."""

import statistics
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hessrun.cli.outcomes import JobOutcome
from hessrun.cli.standing import standing
from hessrun.errors import RecordError
from hessrun.record import read_run
from hessrun.record.schema import CLOCKS, MANIFEST
from hessrun.run import Experiment
from hessrun.run.store import beside_of, would_end


def forecast(experiment: Experiment, *, force: bool, overrides: str) -> JobOutcome:
    """The cell as a dry run lists it; nothing is written or locked. seconds: an estimate, None where there is none."""
    folder = experiment.folder
    state = "new"
    if (folder / MANIFEST).exists() and force:
        beside, is_new = beside_of(experiment)
        folder, state = beside.folder, "new" if is_new else standing(beside.folder).state
    elif (folder / MANIFEST).exists():
        state = standing(folder).state
        if state in ("finished", "diverged"):
            if would_end(read_run(folder), experiment.budget):
                return JobOutcome(folder.name, state, "", 0, seconds=0.0)
            state = "to extend"
    return JobOutcome(folder.name, state, overrides, 0, seconds=_estimate(experiment))


def _estimate(experiment: Experiment) -> float | None:
    """Seconds: the median of what finished runs of the method on this problem took a step, times the steps to come."""
    names = _names(experiment.manifest)
    alike = [(steps, seconds) for found, steps, seconds in _finished(experiment.folder.parent) if found == names]
    if not alike:
        return None
    planned = experiment.budget.iterations
    if planned is None:
        return float(statistics.median(seconds for _, seconds in alike))
    return float(planned * statistics.median(seconds / max(steps, 1) for steps, seconds in alike))


def _names(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["optimizer"]["name"], manifest["problem"]["name"]


@cache
def _finished(folder: Path) -> list[tuple[tuple[str, str], int, float]]:
    """Method and problem, steps and seconds on all clocks of the finished runs in a folder; read once for all cells."""
    found = []
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        try:
            run = read_run(manifest.parent)
            if run.state in ("finished", "diverged"):
                last = run.trace[-1]
                found.append((_names(run.manifest), last["step"], sum(last[clock] for clock in CLOCKS)))
        except (RecordError, KeyError, TypeError, IndexError):
            continue
    return found
