"""How far a run's seconds can be trusted: the machine's drift, runs beside it, and seconds in units of a gradient."""

import math

from hessrun.record import Run
from hessrun.report.numbers import last

DRIFT = 0.2


def _reference(facts: dict[str, object]) -> float:
    value = facts.get("reference_gradient_seconds")
    is_usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if is_usable and isinstance(value, int | float) else math.nan


def drift(run: Run) -> float:
    """By what share a gradient took longer at the end of the run than at its start; nan where neither was timed."""
    return _reference(run.status) / _reference(run.manifest) - 1


def is_drifting(run: Run) -> bool:
    """The machine's speed changed by more than a fifth during the run."""
    return abs(drift(run)) > DRIFT


def is_concurrent(run: Run) -> bool:
    """Other cells of a sweep ran beside it."""
    beside = run.manifest.get("concurrent")
    return beside is True or (isinstance(beside, int) and not isinstance(beside, bool) and beside > 1)


def gradient_equivalents(run: Run) -> float:
    """Optimizer seconds in units of a reference gradient, the mean of start and end; nan where none was timed."""
    timed = [t for t in (_reference(run.manifest), _reference(run.status)) if math.isfinite(t)]
    return last(run, "seconds") / (sum(timed) / len(timed)) if timed else math.nan
