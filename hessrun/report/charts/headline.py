"""The answer in one figure: on every problem, what each method costs beside the first-order baseline."""

import math
from collections.abc import Sequence

import numpy as np

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.charts.edges import Edges, Mark, dodged
from hessrun.report.charts.titles import short_titles
from hessrun.report.comparisons import Compared, compared
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES, baseline, comparable, median_final_loss

_RATIOS = {
    "step": "iterations / the baseline's",
    "seconds": "optimizer seconds / the baseline's",
    "passes": "passes / the baseline's",
}


def headline(groups: Sequence[Group], name: str) -> Chart | None:
    """A row for each problem, a panel for each axis: the paired ratio of costs to the target, 1 marked.

    None where no problem has a first-order baseline, or none has a Hessian method beside it.
    """
    found = {
        axis: [(group, comparisons) for group in groups if (comparisons := _beside_baseline(group, axis))]
        for axis in AXES
    }
    if not found["step"]:
        return None
    entries = {c.mine.name: c.mine for _, comparisons in found["step"] for c in comparisons}
    methods = sorted(entries, key=lambda method: (not entries[method].is_first_order, method))
    offsets = dict(zip(methods, dodged(len(methods)), strict=True))
    labels = {method: shared_label(groups, method) for method in methods}
    panels = [
        _panel(axis, found[axis], offsets, labels, shows_names=index == 0) for index, axis in enumerate(AXES)
    ]  # fmt: skip
    bases = list(dict.fromkeys(c.other.label for _, comparisons in found["step"] for c in comparisons))
    caption = (
        "Cost to reach each problem's target beside its first-order baseline "
        f"({', '.join(bases)}): 1 is as much, to the left is cheaper. Medians of ratios paired by seed with 95% "
        "bootstrap intervals; a triangle at the right edge is a method whose median misses the target, at the left one "
        "a baseline that does."
    )
    return Chart(name, caption, tuple(panels))


def shared_label(groups: Sequence[Group], name: str) -> str:
    """The label whose colour stands for an optimizer over all problems: its bare name where a problem has it so."""
    labels = [entry.label for group in groups for entry in group.entries if entry.name == name]
    return name if name in labels else labels[0]


def _beside_baseline(group: Group, axis: str) -> list[Compared]:
    """The best settings of each other optimizer beside the baseline, where a Hessian method is among them."""
    base = baseline(group)
    if base is None:
        return []
    best: dict[str, Entry] = {}
    for entry in comparable(group):
        held = best.get(entry.name)
        if entry.name != base.name and (held is None or median_final_loss(entry) < median_final_loss(held)):
            best[entry.name] = entry
    found = compared(((group, entry, base) for entry in best.values()), axis)
    return found if any(not c.mine.is_first_order for c in found) else []


def _panel(
    axis: str,
    found: Sequence[tuple[Group, list[Compared]]],
    offsets: dict[str, float],
    labels: dict[str, str],
    *,
    shows_names: bool,
) -> Panel:
    comparisons = [c for _, made in found for c in made]
    edges = Edges.around([1.0, *(c.found.ratio for c in comparisons)])
    titles = short_titles([group for group, _ in found])
    rows = {group.title: len(found) - 1 - index for index, (group, _) in enumerate(found)}
    series: list[Series] = []
    for method, offset in offsets.items():
        marks = [
            Mark(rows[c.group.title] + offset, c.found.ratio, c.found.interval, hover=_hover(c, titles))
            for c in comparisons
            if c.mine.name == method and not math.isnan(c.found.ratio)
        ]
        series += edges.series(method, labels[method], marks)
    one = Series("the baseline", "", np.ones(2), np.array([-0.6, len(found) - 0.4]), dash="solid")
    names = tuple(titles[group.title] if shows_names else "" for group, _ in reversed(found))
    return Panel((one, *series), _RATIOS[axis], "", x_scale="log", y_names=names)


def _hover(c: Compared, titles: dict[str, str]) -> str:
    seeds = f"{c.found.pairs} {'seed' if c.found.pairs == 1 else 'seeds'}"
    return f"{titles[c.group.title]}, {c.mine.label} / {c.other.label}: {c.found.wins} of {seeds} cheaper"
