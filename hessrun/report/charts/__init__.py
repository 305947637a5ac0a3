"""Charts of the comparison, as data: each a function of the groups alone, absent where there is nothing to draw."""

from collections.abc import Sequence

from hessrun.report.chart import Chart
from hessrun.report.charts.headline import headline
from hessrun.report.charts.preconditioned import preconditioned_sharpness
from hessrun.report.charts.profile import performance_profiles
from hessrun.report.charts.target import cost_to_target
from hessrun.report.groups import Group
from hessrun.report.series import told_alone

__all__ = ["HEADLINE", "charts_of", "charts_over", "headline"]

# The name of the figure that holds the answer; there is one wherever a method stands beside a first-order one.
HEADLINE = "headline"


def charts_of(group: Group, prefix: str) -> list[Chart]:
    """Those of one problem; `prefix` heads their names."""
    found = [
        cost_to_target(group, f"{prefix}-target"),
        preconditioned_sharpness(group, f"{prefix}-preconditioned"),
    ]
    return [chart for chart in found if chart is not None]


def charts_over(groups: Sequence[Group]) -> list[Chart]:
    """Those over all problems; a series of problems has figures of its own, and no row for each in the first."""
    found = [headline(told_alone(groups) or groups, HEADLINE), performance_profiles(groups, "profiles")]
    return [chart for chart in found if chart is not None]
