"""The answer in one figure: on every problem, what each method costs beside the cheapest first-order one."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.charts.edges import Edges, Mark, dodged
from hessrun.report.comparisons import Compared, beside_cheapest
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES, best_settings, median_cost
from hessrun.report.titles import short_titles
from hessrun.report.words import plural

_RATIOS = {
    "step": "iterations / first order's",
    "seconds": "optimizer seconds / first order's",
    "passes": "passes / first order's",
}


def headline(groups: Sequence[Group], name: str) -> Chart | None:
    """A row for each problem, a panel for each axis: the paired ratio of costs to the target, 1 marked.

    Of the methods those that ran on half of these problems or more. None where no problem has a first-order baseline
    and another method beside it.
    """
    found = {
        axis: [(group, made) for group in groups if (made := beside_cheapest(group, axis, _best_of_others(group)))]
        for axis in AXES
    }
    if not found["step"]:
        return None
    ran = Counter(c.mine.name for _, comparisons in found["step"] for c in comparisons)
    methods = sorted(method for method, count in ran.items() if 2 * count >= len(found["step"])) or sorted(ran)
    offsets = dict(zip(methods, dodged(len(methods)), strict=True))
    labels = {method: shared_label(groups, method) for method in methods}
    panels = [
        _panel(axis, found[axis], offsets, labels, shows_names=index == 0) for index, axis in enumerate(AXES)
    ]  # fmt: skip
    every = [c for made in found.values() for _, comparisons in made for c in comparisons]
    bases = list(dict.fromkeys(c.other.name for c in every))
    caption = (
        f"Cost to reach each problem's target beside the first-order method ({', '.join(bases)}) that reached it at "
        "the least cost, in each panel: 1 is as much, to the left is cheaper. Medians of ratios paired by seed, with "
        "95% bootstrap intervals from six seeds on. A triangle at the right edge is a method that misses the target in "
        "the median, at the left one a first-order method that does; where a budget ended too early to tell the ratio, "
        "its bound nearer to 1 is drawn, and nothing where that is not known, or both miss."
    )
    if len(methods) < len(ran):
        caption += f" Of {len(ran)} methods, those that ran on half of the problems or more."
    return Chart(name, caption, tuple(panels))


def shared_label(groups: Sequence[Group], name: str) -> str:
    """The label whose colour stands for an optimizer over all problems: its bare name where a problem has it so."""
    labels = [entry.label for group in groups for entry in group.entries if entry.name == name]
    return name if name in labels else labels[0]


def _best_of_others(group: Group) -> list[Entry]:
    """The best settings of each method that is not first-order."""
    return [entry for entry in best_settings(group).values() if not entry.is_first_order]


def _panel(
    axis: str,
    found: Sequence[tuple[Group, list[Compared]]],
    offsets: dict[str, float],
    labels: dict[str, str],
    *,
    shows_names: bool,
) -> Panel:
    comparisons = [c for _, made in found for c in made if c.mine.name in offsets and _is_known(c)]
    edges = Edges.around([1.0, *map(_ratio, comparisons)])
    titles = short_titles([group for group, _ in found])
    rows = {group.title: len(found) - 1 - index for index, (group, _) in enumerate(found)}
    series: list[Series] = []
    for method, offset in offsets.items():
        marks = [
            Mark(rows[c.group.title] + offset, _ratio(c), c.found.interval, hover=_hover(c, titles))
            for c in comparisons
            if c.mine.name == method
        ]
        series += edges.series(method, labels[method], marks)
    one = Series("first order", "", np.ones(2), np.array([-0.6, len(found) - 0.4]), dash="solid")
    names = tuple(titles[group.title] if shows_names else "" for group, _ in reversed(found))
    return Panel((one, *series), _RATIOS[axis], "", x_scale="log", y_names=names)


def _is_known(c: Compared) -> bool:
    """A ratio of two costs that are infinite in the median says nothing, nor does one on either side of 1."""
    both_miss = all(math.isinf(median_cost(entry, c.target, c.axis)) for entry in (c.mine, c.other))
    return not both_miss and not math.isnan(_ratio(c))


def _ratio(c: Compared) -> float:
    """The median ratio, or of its bounds the one nearer to 1; nan where they lie on either side of it."""
    if c.found.is_ahead:
        return c.found.high
    return c.found.low if c.found.is_behind else c.found.ratio


def _hover(c: Compared, titles: dict[str, str]) -> str:
    seeds = plural(c.found.pairs, "seed")
    return f"{titles[c.group.title]}, {c.mine.label} / {c.other.label}: {c.found.wins} of {seeds} cheaper"
