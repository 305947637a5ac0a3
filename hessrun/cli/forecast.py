"""What a dry run says of a cell: how its folder stands, and about how long it would take."""

import statistics
from pathlib import Path

from hessrun.cli.outcomes import JobOutcome
from hessrun.cli.standing import standing
from hessrun.errors import RecordError
from hessrun.record import Run, read_run
from hessrun.record.schema import MANIFEST
from hessrun.run import Experiment
from hessrun.run.store import would_end

_CLOCKS = ("seconds", "seconds_metrics", "seconds_curvature", "seconds_logging")


def forecast(experiment: Experiment, *, force: bool, overrides: str) -> JobOutcome:
    """The cell as a dry run lists it; nothing is written or locked. seconds: an estimate, None where there is none."""
    folder = experiment.folder
    state = "new"
    if (folder / MANIFEST).exists() and not force:
        state = standing(folder).state
        if state in ("finished", "diverged"):
            if would_end(read_run(folder), experiment.budget):
                return JobOutcome(folder.name, state, "", 0, seconds=0.0)
            state = "to extend"
    return JobOutcome(folder.name, state, overrides, 0, seconds=_estimate(experiment))


def _estimate(experiment: Experiment) -> float | None:
    """Seconds: the median of what finished runs of the method on this problem took a step, times the steps to come."""
    rates, totals = [], []
    for manifest in sorted(experiment.folder.parent.glob(f"*/{MANIFEST}")):
        run = _sibling(manifest.parent, experiment)
        if run is None:
            continue
        last = run.trace[-1]
        total = sum(last[clock] for clock in _CLOCKS)
        totals.append(total)
        rates.append(total / max(last["step"], 1))
    if not rates:
        return None
    steps = experiment.budget.iterations
    return float(statistics.median(totals) if steps is None else steps * statistics.median(rates))


def _sibling(folder: Path, experiment: Experiment) -> Run | None:
    try:
        run = read_run(folder)
        same = all(run.manifest[key]["name"] == experiment.manifest[key]["name"] for key in ("optimizer", "problem"))
    except (RecordError, KeyError, TypeError):
        return None
    return run if same and run.trace and run.state in ("finished", "diverged") else None
