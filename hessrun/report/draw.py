"""Draws a chart for papers: SVG, PNG and PDF by matplotlib, the legend outside of the axes."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.drawable import drawable
from hessrun.report.looks import Look, grey
from hessrun.report.ticks import tick_plainly

SETTINGS: Any = {
    "svg.hashsalt": "hessrun",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}
_MARKERS_A_LINE = 8


@dataclass(frozen=True)
class Picture:
    """A rendered figure: its files' name, its caption and its bytes by format."""

    name: str
    caption: str
    files: dict[str, bytes]


def draw(chart: Chart, looks: Mapping[str, Look]) -> Picture:
    """The chart as a picture; `looks` has one for each entry that its series name."""
    panels = [panel for panel in chart.panels if panel.in_paper]
    with mpl.rc_context(SETTINGS):
        figure, axes = grid(len(panels))
        for place, panel in zip(axes, panels, strict=True):
            _draw_panel(place, panel, looks)
        return render(figure, chart.name, chart.caption)


def grid(count: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels: up to four in one row, else three a row."""
    columns = count if count <= 4 else 3
    rows = math.ceil(count / columns)
    width = 2.7 if columns == 4 else 3.2
    figure = Figure(figsize=(max(4.6, 1.0 + width * columns), 0.6 + 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, list(panels[:count])


def _draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> None:
    thresholds = {"x": panel.x_linthresh, "y": panel.linthresh}
    for which, scale, change in (("x", panel.x_scale, axes.set_xscale), ("y", panel.y_scale, axes.set_yscale)):
        change(scale, **({"linthresh": thresholds[which]} if scale == "symlog" else {}))
    greys = 0
    for series in panel.series:
        look = looks.get(series.entry) or grey(greys)
        greys += series.entry not in looks
        _draw_series(axes, panel, series, look)
    tick_plainly(axes.xaxis, axes.get_xlim())
    tick_plainly(axes.yaxis, axes.get_ylim())
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.title:
        axes.set_title(panel.title, fontsize=9)


def _draw_series(axes: Axes, panel: Panel, series: Series, look: Look) -> None:
    x, y = drawable(series.x, panel.x_scale), drawable(series.y, panel.y_scale)
    style: dict[str, Any] = {"color": look.colour, "ms": 4, "lw": 1.4, "alpha": series.alpha, "label": series.label}
    style["linestyle"] = "none" if series.drawn == "points" else _DASHES.get(series.dash, look.dash)
    if series.drawn != "line":
        style["marker"] = look.marker
    elif series.entry:
        style |= {"marker": look.marker, "markevery": max(1, x.size // _MARKERS_A_LINE)}
    axes.plot(x, y, **style)
    if series.low is None or series.high is None:
        return
    low, high = drawable(series.low, panel.y_scale), drawable(series.high, panel.y_scale)
    if series.drawn == "points":
        axes.errorbar(x, y, yerr=[y - low, high - y], fmt="none", ecolor=look.colour, elinewidth=1, capsize=2)
    else:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15 if series.entry else 0.3, linewidth=0)


def render(figure: Figure, name: str, caption: str) -> Picture:
    """The figure in all formats, with one legend below its panels of all that is labelled in them."""
    FigureCanvasAgg(figure)
    shown: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    columns = max(1, min(4, int(figure.get_figwidth() * 13 / (8 + max(map(len, shown), default=0)))))
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns, frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # laid out once, not again for each format
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for kind, metadata in undated.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
        files[kind] = buffer.getvalue()
    return Picture(name, caption, files)
