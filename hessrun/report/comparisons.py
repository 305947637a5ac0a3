"""Methods beside a baseline on each problem: what reaching the target cost, paired by seed, with Holm's correction."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hessrun.record import Run
from hessrun.report.groups import Entry, Group, seed_of
from hessrun.report.numbers import (
    best_settings,
    contenders,
    cost_to_reach,
    paired,
    paired_costs,
    reference,
    target_of,
)
from hessrun.report.statistics import (
    SEEDS_FOR_CLAIMS,
    Comparison,
    Profile,
    compare,
    holm,
    is_faster,
    is_slower,
    profiles,
)


@dataclass(frozen=True)
class Compared:
    """One method beside another on one problem, by one axis.

    found: their costs, paired by seed; p: of its sign test, corrected by Holm over the comparisons made together that
    have enough seeds to decide anything. Of the others p is as it is.
    """

    group: Group
    mine: Entry
    other: Entry
    axis: str
    target: float
    found: Comparison
    p: float

    @property
    def is_faster(self) -> bool:
        return is_faster(self.found, self.p)

    @property
    def is_slower(self) -> bool:
        return is_slower(self.found, self.p)

    @property
    def runs(self) -> list[Run]:
        return [run for pair in paired(self.mine, self.other) for run in pair]


def compared(
    couples: Iterable[tuple[Group, Entry, Entry]], axis: str, cost: Callable[[Run, Group], float] | None = None
) -> list[Compared]:
    """The comparisons of one family: of costs to reach each problem's target, or of `cost` where it is given.

    Problems without a target, and couples without a seed in common, are left out.
    """
    made = []
    for group, mine, other in couples:
        goal = target_of(group)
        if goal is None:
            continue
        if cost is None:
            found = compare(*paired_costs(mine, other, goal[0], axis))
        else:
            found = compare([(cost(first, group), cost(second, group)) for first, second in paired(mine, other)])
        if found.pairs > 0:
            made.append((group, mine, other, goal[0], found))
    tests = [i for i, (*_, found) in enumerate(made) if found.pairs >= SEEDS_FOR_CLAIMS]
    adjusted = dict(zip(tests, holm([made[i][-1].p for i in tests]), strict=True))
    return [
        Compared(group, mine, other, axis, target, found, adjusted.get(i, found.p))
        for i, (group, mine, other, target, found) in enumerate(made)
    ]


def beside_cheapest(group: Group, axis: str, entries: Iterable[Entry] | None = None) -> list[Compared]:
    """Entries of a problem, by default its Hessian methods, beside its cheapest first-order one by that axis.

    They are one family of tests.
    """
    base = reference(group, axis)
    if base is None:
        return []
    if entries is None:
        entries = (entry for entry in contenders(group) if entry.is_hessian_method)
    return compared(((group, entry, base) for entry in entries), axis)


def couples(groups: Sequence[Group], first: str, second: str) -> list[tuple[Group, Entry, Entry]]:
    """Where two optimizers ran on one problem, the best settings of each, the problems by ascending n."""
    found = []
    for group in sorted(groups, key=lambda group: group.n_parameters):
        best = best_settings(group)
        if first in best and second in best:
            found.append((group, best[first], best[second]))
    return found


def profiles_of(groups: Sequence[Group], axis: str, names: Sequence[str]) -> dict[str, Profile]:
    """Performance profiles of these optimizers over all problems and seeds on which every one of them ran.

    A solve is reaching the problem's target; of several settings of an optimizer the best one stands for it.
    """
    costs: dict[str, list[float]] = {name: [] for name in names}
    for group in groups:
        goal = target_of(group)
        best = best_settings(group)
        if goal is None or any(name not in best for name in names):
            continue
        by_seed = {
            name: {seed_of(run): cost_to_reach(run, goal[0], axis) for run in best[name].compared} for name in names
        }
        for seed in sorted(set.intersection(*(set(found) for found in by_seed.values()))):
            for name, found in by_seed.items():
                costs[name].append(found[seed])
    return profiles(costs)
