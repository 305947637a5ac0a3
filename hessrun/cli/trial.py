"""One trial: a setting, run at each of the tuning seeds. Its runs are folders like any other, and are found again."""

import math
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hessrun.cli.build import build
from hessrun.cli.job import claimed
from hessrun.cli.search_space import Value
from hessrun.cli.study import Trial
from hessrun.cli.tuning import Arm, Plan
from hessrun.record import Run, read_run
from hessrun.record.schema import CLOCKS, LOG, MANIFEST, passes_of
from hessrun.run import Budget, Experiment, run_experiment
from hessrun.run.budget import is_spent
from hessrun.status import RunState

RUNS = "runs"


@dataclass(frozen=True)
class Interrupted(Exception):  # noqa: N818  (no error: what a signal asked for)
    """A signal ended a run of the trial; it goes on from there the next time."""

    signal: int


class TrialFailed(Exception):  # noqa: N818  (of the command's outcomes, no misuse)
    """A run of the trial failed, and the setting need not be the cause: a device was full, a class was edited."""


@dataclass
class _Values:
    select: str
    by_seed: list[float] = field(default_factory=list)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)


def run_trial(plan: Plan, arm: Arm, settings: Mapping[str, Value], tick: Callable[[], object]) -> Trial:
    """Run the setting at each seed of the plan, or find that it was run; `tick` after each.

    Raises Interrupted where a signal came, TrialFailed where a run failed, HessrunError where the setting is refused
    before a run has started.
    """
    found = _Values(plan.tuning.select)
    for seed in plan.tuning.seeds:
        config, choices = _configuration(plan, arm, settings, seed)
        experiment = build(config, choices)
        _run(experiment, config)
        run = read_run(experiment.folder)
        rows = _within(run, experiment.budget)
        if rows and found.select not in rows[0]:
            found.select = "train_loss"
        found.by_seed.append(_lowest(run, rows, found.select))
        found.costs[experiment.folder.name] = _cost(rows)
        tick()
    return Trial(dict(settings), statistics.median(found.by_seed), found.select, found.costs)


def _configuration(
    plan: Plan, arm: Arm, settings: Mapping[str, Value], seed: int
) -> tuple[dict[str, Any], dict[str, str]]:
    config, choices = arm.composed.resolved(
        {"seed": seed} | {f"optimizer.{key}": value for key, value in settings.items()}
    )
    config |= {
        "experiment": f"{config['experiment']}/{plan.folder.name}/{RUNS}",
        "curvature": {"_target_": "hessrun.run.Probe", "kind": "off"},
        "protocol": {"suite": plan.suite, "role": "tuning"},
    }
    return config, choices


def _run(experiment: Experiment, config: dict[str, Any]) -> None:
    found = claimed(experiment, config, force=False)
    if found.experiment is None:
        return
    for line in found.lines:
        print(f"hessrun: {line}", file=sys.stderr)
    had_failed = _has_failed(found.experiment.folder)
    ended = run_experiment(found.experiment)
    if ended.signal is not None:
        raise Interrupted(ended.signal)
    if ended.error is not None:
        told = f"{ended.error} (the traceback is in {found.experiment.folder / LOG})"
        if not had_failed:
            raise TrialFailed(told)
        # At the second time it is the setting: no other command would draw another one.
        print(f"hessrun: failed again, and counts as infinite: {told}", file=sys.stderr)


def _has_failed(folder: Path) -> bool:
    return (folder / MANIFEST).exists() and read_run(folder).state == RunState.FAILED


def _within(run: Run, budget: Budget) -> list[dict[str, Any]]:
    """The rows up to the one at which the budget is spent: an earlier run may have had a larger one."""
    kept = []
    for row in run.trace:
        kept.append(row)
        if is_spent(budget, step=row["step"], seconds=row["seconds"], passes=passes_of(row)) is not None:
            break
    return kept


def _cost(rows: list[dict[str, Any]]) -> dict[str, float]:
    last = rows[-1] if rows else dict.fromkeys(CLOCKS, 0.0)
    return {
        "passes": passes_of(last),
        "seconds": last["seconds"],
        "wall_seconds": sum(last[name] for name in CLOCKS),
    }


def _lowest(run: Run, rows: list[dict[str, Any]], column: str) -> float:
    """The lowest value along the run; infinite where it did not end well: not at all, or above where it began."""
    if run.state != RunState.FINISHED or not rows or not rows[-1]["train_loss"] <= rows[0]["train_loss"]:
        return math.inf
    values = [row[column] for row in rows]
    return min((value for value in values if math.isfinite(value)), default=math.inf)
