"""The rows that a report's numbers rest on: a record thinned around them gives the same numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hessrun.record import Run
from hessrun.report.groups import Group, column
from hessrun.report.numbers import AXES, baseline, common_budget, contenders, target_of


def steps_needed(groups: Sequence[Group]) -> dict[Path, set[int]]:
    """By folder, the steps of the rows at which a run reached its target, was best, or had spent a common budget."""
    return {run.path: _steps(run, _target(group), _budgets(group)) for group in groups for run in group.runs}


def _target(group: Group) -> float:
    found = target_of(group)
    return found[0] if found else -np.inf


def _budgets(group: Group) -> list[tuple[str, float]]:
    base, others = baseline(group), contenders(group)
    return [(axis, common_budget([base, *others], axis)) for axis in AXES] if base and others else []


def _steps(run: Run, target: float, budgets: Sequence[tuple[str, float]]) -> set[int]:
    losses, steps = column(run, "train_loss"), column(run, "step")
    rows = [np.flatnonzero(losses <= target)[:1], np.flatnonzero(losses == np.nanmin(losses, initial=np.inf))[:1]]
    rows += [np.flatnonzero(column(run, axis) <= amount)[-1:] for axis, amount in budgets]
    return {int(step) for step in steps[np.concatenate(rows)]}
