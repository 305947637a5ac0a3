"""What reaching a problem's target cost each optimizer, by iterations, optimizer seconds and passes."""

import math

import numpy as np

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.charts.edges import Edges, Mark
from hessrun.report.figures import AXIS_LABELS
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES, comparable, cost_to_reach, target_of
from hessrun.report.statistics import median_interval


def cost_to_target(group: Group, name: str) -> Chart | None:
    """A row for each optimizer: the median over seeds with its interval, the misses at the right edge.

    None without a target, or where nobody reaches it, or of one optimizer alone, which has nothing beside it.
    """
    goal, entries = target_of(group), comparable(group)
    if goal is None or len(entries) < 2:
        return None
    costs = {
        axis: [[cost_to_reach(run, goal[0], axis) for run in entry.compared] for entry in entries] for axis in AXES
    }
    if not any(math.isfinite(cost) for found in costs["step"] for cost in found):
        return None
    panels = [
        _panel(axis, entries, costs[axis], shows_names=index == 0) for index, axis in enumerate(AXES)
    ]  # fmt: skip
    caption = (
        f"{group.title}: cost to reach a training loss of {goal[0]:.6g}, {goal[1]}. Points are medians over seeds, "
        "bars their 95% bootstrap intervals; triangles at the right edge count the seeds that miss the target within "
        "their budgets, each an infinite cost."
    )
    return Chart(name, caption, tuple(panels))


def _panel(axis: str, entries: list[Entry], costs: list[list[float]], *, shows_names: bool) -> Panel:
    edges = Edges.around(cost for found in costs for cost in found)
    series: list[Series] = []
    for row, entry, found in zip(reversed(range(len(entries))), entries, costs, strict=True):
        missed = sum(map(math.isinf, found))
        median = float(np.median(found))
        hover = f"{entry.label}: {len(found) - missed} of {len(found)} seeds"
        marks = [] if math.isinf(median) else [Mark(row, median, median_interval(found), hover=hover)]
        if missed:
            marks.append(
                Mark(row, math.inf, note=f"{missed} of {len(found)}", hover=f"{missed} of {len(found)} missed")
            )
        series += edges.series(entry.label, entry.label, marks)
    names = tuple(entry.label if shows_names else "" for entry in reversed(entries))
    return Panel(tuple(series), AXIS_LABELS[axis], "", x_scale="log", y_names=names)
