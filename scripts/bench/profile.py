"""Performance profiles (Dolan and Moré, 2002): the share of problems that a method solves within tau times the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Costs = Mapping[str, Mapping[str, int | None]]

# Okabe and Ito (2008), then three of Tol's muted scheme: told apart with any colour vision; the dashes help in grey.
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F"),
    *("#332288", "#882255", "#999933"),
)
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Panel:
    """One set of axes. title: above them; methods: those whose best cost is the unit of every ratio."""

    title: str
    methods: Sequence[str]


def performance_ratios(costs: Costs) -> dict[str, list[float]]:
    """Cost / least cost over the methods, by method, ascending; infinite where unsolved.

    costs: by method, then by problem, above 0; None where it was not solved. A problem that no method solves counts
    as unsolved by all.
    """
    problems = list(next(iter(costs.values())))
    found: dict[str, list[float]] = {method: [] for method in costs}
    for problem in problems:
        solved = [cost for method in costs if (cost := costs[method][problem]) is not None]
        for method in costs:
            cost = costs[method][problem]
            found[method].append(math.inf if cost is None else cost / min(solved))
    return {method: sorted(ratios) for method, ratios in found.items()}


def share_within(ratios: Sequence[float], tau: float) -> float:
    """rho(tau): the share of the problems with a ratio of at most tau, in [0, 1]."""
    return sum(ratio <= tau for ratio in ratios) / len(ratios)


def draw(costs: Costs, panels: Sequence[Panel], ours: Sequence[str], stem: Path) -> list[Path]:
    """Write the profiles as PNG and PDF, one colour a method in all panels; those of `ours` are drawn thicker.

    costs: as for `performance_ratios`, more than the panels show; stem: the path without its ending.
    """
    colours = dict(zip(costs, _COLOURS, strict=False))
    with rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "pdf.fonttype": 42}):
        figure = Figure(figsize=(5.2 * len(panels), 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _panel(axes, {method: costs[method] for method in panel.methods}, panel.title, colours, ours)
        paths = [stem.with_suffix(ending) for ending in (".png", ".pdf")]
        for path in paths:
            figure.savefig(path, dpi=200)
    return paths


def _panel(axes: Axes, costs: Costs, title: str, colours: Mapping[str, str], ours: Sequence[str]) -> None:
    profiles = performance_ratios(costs)
    most = max((ratio for ratios in profiles.values() for ratio in ratios if math.isfinite(ratio)), default=2.0)
    end = max(2.0, 1.1 * most)
    for index, (method, ratios) in enumerate(profiles.items()):
        steps = [1.0, *(ratio for ratio in ratios if math.isfinite(ratio)), end]
        axes.step(
            steps,
            [share_within(ratios, tau) for tau in steps],
            where="post",
            label=method,
            color=colours[method],
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=2.2 if method in ours else 1.3,
        )
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, end)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("evaluations / those of the best method")
    axes.set_ylabel("share of problems solved")
    axes.set_title(title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
