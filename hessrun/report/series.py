"""Problems that differ in one number alone, a size or a condition number: told together, not one by one."""

from collections import Counter
from collections.abc import Sequence

from hessrun.report.claims.records import families
from hessrun.report.groups import Group
from hessrun.report.numbers import (
    AXES,
    baseline,
    best_settings,
    comparable,
    contenders,
    median_cost,
    median_final_loss,
    seeds_compared,
    target_of,
)
from hessrun.report.words import listed, plural

_NUMBERS = (("n", "n_parameters"), ("condition_number",))
_MEMBERS = 3


def series_of_problems(groups: Sequence[Group]) -> list[list[Group]]:
    """The series of three or more problems, each of one seed alone: a problem is in one of them at most."""
    left = [group for group in groups if max((len(seeds_compared(e)) for e in group.entries), default=0) <= 1]
    found: list[list[Group]] = []
    for names in _NUMBERS:
        found += [family for family in families(left, *names) if len(family) >= _MEMBERS]
        taken = {group.title for family in found for group in family}
        left = [group for group in left if group.title not in taken]
    return found


def told_alone(groups: Sequence[Group]) -> list[Group]:
    """The problems that are in no series."""
    taken = {group.title for family in series_of_problems(groups) for group in family}
    return [group for group in groups if group.title not in taken]


def is_a_comparison(group: Group) -> bool:
    """The problem holds a first-order baseline and something beside it."""
    return baseline(group) is not None and bool(contenders(group))


def row_of_series(family: Sequence[Group]) -> str:
    """A sentence on a series: how far it goes, who ended lowest, and who reached the targets first by each axis."""
    ordered = sorted(family, key=_number_of)
    head = ordered[0].title.split(" (", 1)[0]
    ends = " to ".join(f"{value:,.0f}" for value in (_number_of(ordered[0]), _number_of(ordered[-1])))
    text = f"On {plural(len(family), 'problem')} of the kind {head}, {_word_of(ordered)} from {ends}"
    shared = [group for group in ordered if len(comparable(group)) > 1]
    lowest = Counter(min(comparable(group), key=median_final_loss).name for group in shared)
    if not shared:
        names = listed(entry.name for group in ordered for entry in group.entries)
        return f"{text}, 1 optimizer ({names}) ran alone on each."
    if not any(map(is_a_comparison, shared)):
        names = listed(dict.fromkeys(entry.name for group in ordered for entry in group.entries))
        return f"{text}, no first-order method ran: {names} were timed, and not compared."
    text += f", {_most(lowest)} ended with the lowest training loss"
    firsts = [(words, _firsts(shared, axis)) for axis, words in AXES.items()]
    told = [f"{_most(counted)} in {words}" for words, counted in firsts if counted]
    if told:
        text += f"; the targets were reached first by {listed(told)}"
    return text + "."


def _word_of(family: Sequence[Group]) -> str:
    return "n" if len({group.n_parameters for group in family}) > 1 else "condition numbers"


def _number_of(group: Group) -> float:
    """What the series is ordered by: sizes where they differ, condition numbers where the size is the same."""
    return float(group.details.get("condition_number", group.n_parameters))


def _firsts(family: Sequence[Group], axis: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for group in family:
        goal = target_of(group)
        if goal is not None and is_a_comparison(group):
            costs = {name: median_cost(entry, goal[0], axis) for name, entry in best_settings(group).items()}
            found[min(costs, key=lambda name: costs[name])] += 1
    return found


def _most(counted: Counter[str]) -> str:
    """`newton (5 of 6) and lbfgs (1 of 6)`, the most frequent first."""
    total = counted.total()
    return listed(f"{name} ({count} of {total})" for name, count in counted.most_common())
