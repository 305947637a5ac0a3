"""The numbers of the report: ends of runs over seeds, values at equal budgets, cost to reach a target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessrun.record import Run, Spectrum
from hessrun.report.groups import Array, Entry, Group, column, end_word, once_a_group, seed_of

AXES = {"step": "iterations", "seconds": "optimizer seconds", "passes": "passes"}
_NEAREST = 1e-6
# The share of the baseline's seeds from which it reached the target.
_MOST_SEEDS = 0.8
_SETTLED = ("converged", "target_reached", "line_search_failed", "stalled")


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of the finite values over seeds; nan where there is none."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of the finite values."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return Spread(math.nan, math.nan, math.nan, 0)
    return Spread(float(np.median(finite)), min(finite), max(finite), len(finite))


def last(run: Run, name: str) -> float:
    """The last row's value of a column; nan where it has none."""
    values = column(run, name)
    return float(values[-1]) if values.size else math.nan


def largest(spectrum: Spectrum) -> float:
    """The largest eigenvalue known; nan without one."""
    return float(spectrum.largest[0]) if spectrum.largest.size else math.nan


def smallest(spectrum: Spectrum) -> float:
    """The smallest eigenvalue known; nan without one."""
    return float(spectrum.smallest[0]) if spectrum.smallest.size else math.nan


def final_loss(run: Run) -> float:
    """The training loss that a run ended with; infinite for one that diverged."""
    value = last(run, "train_loss")
    return math.inf if run.state == "diverged" or not math.isfinite(value) else value


def _median(values: Sequence[float]) -> float:
    """The median, in which infinities count; nan of nothing."""
    return float(np.median(values)) if values else math.nan


def median_final_loss(entry: Entry) -> float:
    """The median over seeds of the final training loss, a diverged run counting as infinite; nan without a run."""
    return _median([final_loss(run) for run in entry.compared])


def comparable(group: Group) -> list[Entry]:
    """The entries that have runs to compare and minimise the objective itself.

    Runs that record diagnoses of a matrix are left out where the optimizer ran without them as well.
    """
    found = [entry for entry in group.entries if entry.is_comparable]
    plain = {entry.name for entry in found if not entry.is_diagnosed}
    return [entry for entry in found if not (entry.is_diagnosed and entry.name in plain)]


def best_settings(group: Group) -> dict[str, Entry]:
    """By optimizer, of its comparable settings the ones of the lowest median final training loss."""
    best: dict[str, Entry] = {}
    for entry in comparable(group):
        if entry.name not in best or median_final_loss(entry) < median_final_loss(best[entry.name]):
            best[entry.name] = entry
    return best


def contenders(group: Group) -> list[Entry]:
    """The comparable entries that are not first-order methods: what the baseline is compared with."""
    return [entry for entry in comparable(group) if not entry.is_first_order]


@once_a_group
def baseline(group: Group) -> Entry | None:
    """The first-order entry of the lowest median final training loss, a finite one; None without one."""
    found = [e for e in comparable(group) if e.is_first_order and math.isfinite(median_final_loss(e))]
    return min(found, key=median_final_loss, default=None)


@once_a_group
def reference(group: Group, axis: str) -> Entry | None:
    """The first-order entry that reached the target at the least median cost on `axis`; the baseline where none did.

    It has the baseline's seeds, and reached the target from four of five: one that is cheap where it does not diverge
    is no measure. It is chosen by the runs that it is then compared in.
    """
    base, goal = baseline(group), target_of(group)
    if base is None or goal is None:
        return base
    costs = [(base, median_cost(base, goal[0], axis))]
    for entry in comparable(group):
        reached = sum(math.isfinite(cost_to_reach(run, goal[0], axis)) for run in entry.compared)
        is_steady = reached >= _MOST_SEEDS * len(entry.compared) and seeds_compared(entry) >= seeds_compared(base)
        if entry.is_first_order and is_steady:
            costs.append((entry, median_cost(entry, goal[0], axis)))
    return min(costs, key=lambda found: found[1] if math.isfinite(found[1]) else math.inf)[0]


def best_loss(run: Run) -> float:
    """The lowest training loss recorded along a run; infinite where none is finite."""
    losses = column(run, "train_loss")
    return float(np.min(losses[np.isfinite(losses)], initial=math.inf))


@once_a_group
def target_of(group: Group) -> tuple[float, str] | None:
    """The training loss whose cost is compared, with what it is; None without a finite one.

    It is the one that all runs were given in advance; else the lowest loss that the baseline reached from four seeds of
    five, or from those at which it did not diverge; else the worst finite one. The baseline's median best loss
    would be missed by half of its own runs: their ratios would be 0, and a method that misses it at every seed could
    not be told to be slower. A loss that it reached from all seeds would be set by the one at which it went worst.
    The latter two are never nearer than 1e-6 of the first loss's distance to the lowest known (Moré and Wild, 2009, eq.
    2.2): of methods that all reached the minimum none misses it by its rounding.
    """
    given = {run.manifest.get("target") for run in group.runs}
    fixed = next(iter(given)) if len(given) == 1 else None
    if isinstance(fixed, int | float) and math.isfinite(fixed):
        return float(fixed), "the target fixed in advance"
    base = baseline(group)
    if base is not None:
        kept = [run for run in base.compared if run.state != "diverged"] or list(base.compared)
        enough = min(math.ceil(_MOST_SEEDS * len(base.compared)), len(kept))
        source = f"the lowest training loss that {base.label} reached from {_so_many(enough, len(base.compared))}"
        return _within_reach(group, sorted(map(best_loss, kept))[enough - 1], source)
    losses = [loss for loss in map(median_final_loss, comparable(group)) if math.isfinite(loss)]
    return _within_reach(group, max(losses), "the worst median final training loss") if losses else None


def _so_many(count: int, seeds: int) -> str:
    if count < seeds:
        return f"{count} of {seeds} seeds"
    return "its one seed" if count == 1 else f"each of {count} seeds"


def _within_reach(group: Group, target: float, source: str) -> tuple[float, str]:
    runs = [run for entry in comparable(group) for run in entry.compared]
    lowest = min(map(best_loss, runs)) if group.known_minimum is None else group.known_minimum
    first = spread([float(losses[0]) for run in runs if (losses := column(run, "train_loss")).size]).median
    nearest = lowest + _NEAREST * (first - lowest)
    if not target < nearest:
        return target, source
    return nearest, f"{source}, eased to {_NEAREST:g} of the first loss's height above the lowest"


def rounding_of(group: Group) -> float:
    """What of the first training loss, less the known minimum or 0, rounding leaves: below it a loss is no number."""
    floor = group.known_minimum if group.known_minimum is not None else 0.0
    starts = [abs(float(losses[0]) - floor) for run in group.runs if (losses := column(run, "train_loss")).size]
    is_single = any(run.manifest.get("dtype") == "float32" for run in group.runs)
    scale = spread(starts).median
    return float(np.finfo(np.float32 if is_single else np.float64).eps) * scale if math.isfinite(scale) else 0.0


def seeds_compared(entry: Entry) -> set[str]:
    """The seeds at which an entry has a run to compare."""
    return {seed_of(run) for run in entry.compared}


def paired(mine: Entry, other: Entry) -> list[tuple[Run, Run]]:
    """The runs to compare at the seeds that both entries have, in the order of the seeds.

    Of seeds that led both methods along the same losses the first alone is kept: where nothing depends on the seed,
    ten of them are one observation.
    """
    theirs = {seed_of(run): run for run in other.compared}
    pairs: dict[tuple[bytes, ...], tuple[Run, Run]] = {}
    for run in sorted(mine.compared, key=seed_of):
        if seed_of(run) in theirs:
            pair = (run, theirs[seed_of(run)])
            pairs.setdefault(tuple(column(r, "train_loss").tobytes() for r in pair), pair)
    return list(pairs.values())


def paired_costs(mine: Entry, other: Entry, target: float, axis: str) -> tuple[list[tuple[float, float]], int]:
    """What each of the two spent on `axis` until the target, seed by seed (`paired`); a miss is infinite.

    And at how many further seeds nobody knows which spent less, since one of the two was cut short too early.
    """
    costs = [(pair, [cost_to_reach(run, target, axis) for run in pair]) for pair in paired(mine, other)]
    open_ends = [
        _is_open(first, cost, reference, axis) or _is_open(second, reference, cost, axis)
        for (first, second), (cost, reference) in costs
    ]
    known = [(cost, reference) for (_, (cost, reference)), is_open in zip(costs, open_ends, strict=True) if not is_open]
    return known, sum(open_ends)


def _is_open(run: Run, cost: float, other: float, axis: str) -> bool:
    """The run missed the target, but was cut short before it had spent the `other` cost: it might have taken less."""
    could_go_on = run.state != "diverged" and end_word(run) not in _SETTLED
    return math.isinf(cost) and could_go_on and last(run, axis) < other < math.inf


def cost_to_reach(run: Run, target: float, axis: str) -> float:
    """What a run had spent on `axis` at the first row whose training loss is at most `target`; infinite if none is."""
    reached = np.flatnonzero(column(run, "train_loss") <= target)
    return float(column(run, axis)[reached[0]]) if reached.size else math.inf


def median_cost(entry: Entry, target: float, axis: str) -> float:
    """The median over seeds of `cost_to_reach`, a miss counting as infinite; nan without a run."""
    return _median([cost_to_reach(run, target, axis) for run in entry.compared])


def milliseconds_per_iteration(entry: Entry) -> float:
    """The median over seeds of optimizer milliseconds an iteration; nan where no iteration was made."""
    costs = [1e3 * last(r, "seconds") / last(r, "step") for r in entry.runs if last(r, "step") > 0]
    return spread(costs).median


def passes_per_iteration(entry: Entry) -> float:
    """The median over seeds of passes an iteration; nan where no iteration was made."""
    costs = [(last(r, "passes") - column(r, "passes")[0]) / last(r, "step") for r in entry.runs if last(r, "step") > 0]
    return spread(costs).median


def common_budget(entries: Sequence[Entry], axis: str) -> float:
    """The largest amount of `axis` at which each run's loss is known: runs that settled by themselves hold theirs."""
    runs = [run for entry in entries for run in entry.compared if run.state != "diverged"]
    open_ends = [last(run, axis) for run in runs if end_word(run) not in _SETTLED]
    return min(open_ends) if open_ends else max((last(run, axis) for run in runs), default=math.nan)


def loss_at(run: Run, axis: str, amount: float) -> float:
    """The training loss in the last row at or before `amount` of `axis`; infinite past the end of a diverged run."""
    spent = column(run, axis)
    if run.state == "diverged" and amount > spent[-1]:
        return math.inf
    before = np.flatnonzero(spent <= amount)
    value = float(column(run, "train_loss")[before[-1]]) if before.size else math.nan
    return value if math.isfinite(value) else math.inf


def median_loss_at(entry: Entry, axis: str, amount: float) -> float:
    """The median over seeds of `loss_at`; nan without a run."""
    return _median([loss_at(run, axis, amount) for run in entry.compared])


@dataclass(frozen=True)
class Band:
    """Median, least and greatest over seeds of a column along an axis, as far as every seed has rows."""

    x: Array
    median: Array
    low: Array
    high: Array


def band(entry: Entry, axis: str, name: str, *, points: int = 200) -> Band | None:
    """The band of an entry; each seed holds its last recorded value. None where no finite value is recorded."""
    series = []
    for run in entry.runs:
        x, y = column(run, axis), column(run, name)
        known = np.isfinite(x) & np.isfinite(y)
        if known.any():
            series.append((x[known], y[known]))
    if not series:
        return None
    start, stop = max(x[0] for x, _ in series), min(x[-1] for x, _ in series)
    if stop < start:
        return None
    grid = np.unique(np.concatenate([x for x, _ in series]))
    grid = grid[(grid >= start) & (grid <= stop)]
    if grid.size > points:
        grid = grid[np.unique(np.linspace(0, grid.size - 1, points).astype(int))]
    held = np.array([y[np.searchsorted(x, grid, side="right") - 1] for x, y in series])
    return Band(grid, np.median(held, axis=0), held.min(axis=0), held.max(axis=0))
