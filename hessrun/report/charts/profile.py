"""Performance profiles over all problems and seeds (Dolan and Moré, 2002)."""

from collections.abc import Sequence

import numpy as np

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.charts.headline import shared_label
from hessrun.report.comparisons import profiles_of
from hessrun.report.groups import Group
from hessrun.report.numbers import AXES, comparable, target_of
from hessrun.report.statistics import Profile
from hessrun.report.words import plural

_FACTORS = {
    "step": "iterations / the fewest",
    "seconds": "optimizer seconds / the fewest",
    "passes": "passes / the fewest",
}


def performance_profiles(groups: Sequence[Group], name: str) -> Chart | None:
    """A panel for each axis: the share of problems and seeds solved within a factor of the best.

    None where no two optimizers ran on one problem with a target.
    """
    methods, problems = common_methods(groups)
    found = {axis: profiles_of(problems, axis, methods) for axis in AXES} if len(methods) > 1 else {}
    panels = [_panel(axis, made, groups) for axis, made in found.items() if made]
    if not panels:
        return None
    caption = (
        f"Performance profiles over {plural(len(problems), 'problem')} and their seeds: "
        "the share on which an optimizer reaches the target within a factor of the cheapest one's cost. Its height at "
        "1 is how often it is the cheapest, at the right end how often it reaches the target within its budget at all."
    )
    if len(problems) < len(groups):
        caption += f" Of {len(groups)} problems these are the ones that all {len(methods)} optimizers ran on."
    return Chart(name, caption, tuple(panels))


def common_methods(groups: Sequence[Group]) -> tuple[list[str], list[Group]]:
    """Optimizers and problems such that each of the ones ran on each of the others: as many such pairs as there can be.

    Of sets that hold equally many the one with more optimizers; candidates are what each problem has.
    """
    ran = [(group, {entry.name for entry in comparable(group)}) for group in groups if target_of(group) is not None]
    best: tuple[list[str], list[Group]] = ([], [])
    for _, names in ran:
        problems = [group for group, others in ran if names <= others]
        if len(names) > 1 and (len(names) * len(problems), len(names)) > (len(best[0]) * len(best[1]), len(best[0])):
            best = (sorted(names), problems)
    return best


def _panel(axis: str, found: dict[str, Profile], groups: Sequence[Group]) -> Panel:
    # From a jump to the next the share stays: each is drawn as a step.
    end = 1.1 * max(float(profile.factor[-1]) for profile in found.values())
    series = []
    for method, profile in found.items():
        x = np.append(np.repeat(profile.factor, 2)[1:], end)
        label = shared_label(groups, method)
        series.append(Series(method, label, x, np.repeat(profile.share, 2)))
    return Panel(tuple(series), _FACTORS[axis], "share of problems and seeds", x_scale="log")
