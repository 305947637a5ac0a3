"""Draws a chart for papers: SVG, PNG and PDF by matplotlib, the legend outside of the axes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.drawable import drawable
from hessrun.report.formats import rendered
from hessrun.report.looks import Look, grey
from hessrun.report.panels import Which, grid, share
from hessrun.report.ticks import tick_plainly

SETTINGS: Any = {
    "svg.hashsalt": "hessrun",
    "svg.fonttype": "path",
    "pdf.compression": 3,
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.bottom": False,  # the lines of the grid mark the ticks
    "ytick.left": False,
}
_DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}
_BEYOND = {"left": "<", "right": ">"}
_MARKERS_A_LINE = 8
_ROW = 0.1  # inches for each of the heights at which a panel with names has points


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
        figure, axes = grid(len(panels), height=max(2.8, *map(_height, panels), 0))
        for place, panel in zip(axes, panels, strict=True):
            _draw_panel(place, panel, looks)
        share(axes, "x", lambda i: _quantity(panels[i], "x"))
        share(axes, "y", lambda i: _quantity(panels[i], "y"))
        for place, panel in zip(axes, panels, strict=True):
            tick_plainly(place.xaxis, place.get_xlim())
            if not panel.y_names:
                tick_plainly(place.yaxis, place.get_ylim())
        return render(figure, chart.name, chart.caption)


def _height(panel: Panel) -> float:
    """Inches that a panel with names takes, so that its points stand apart."""
    heights = {float(y) for series in panel.series for y in series.y if math.isfinite(y)} if panel.y_names else set()
    return 0.8 + _ROW * len(heights) + 0.08 * len(panel.y_names)


def _quantity(panel: Panel, which: Which) -> tuple[object, ...]:
    """What an axis of the panel shows, and how."""
    if which == "x":
        return panel.x_label, panel.x_scale, panel.x_scale == "symlog" and panel.x_linthresh
    return panel.y_label, panel.y_scale, panel.y_scale == "symlog" and panel.linthresh, panel.y_names


def _draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> None:
    thresholds = {"x": panel.x_linthresh, "y": panel.linthresh}
    for which, scale, change in (("x", panel.x_scale, axes.set_xscale), ("y", panel.y_scale, axes.set_yscale)):
        change(scale, **({"linthresh": thresholds[which]} if scale == "symlog" else {}))
    greys = 0
    for series in panel.series:
        look = looks.get(series.entry) or grey(greys)
        greys += series.entry not in looks
        _draw_series(axes, panel, series, look)
    _widen(axes, "x")
    _widen(axes, "y")
    if panel.y_names:
        axes.set_yticks(range(len(panel.y_names)), panel.y_names)
        axes.set_ylim(-0.6, len(panel.y_names) - 0.4)
        axes.grid(visible=False, axis="y")
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.title:
        axes.set_title(panel.title, fontsize=9)


def _widen(axes: Axes, which: Which) -> None:
    """Give a logarithmic axis an extent where all points are at one place: matplotlib finds none for itself."""
    low, high = axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly
    axis = axes.xaxis if which == "x" else axes.yaxis
    if axis.get_scale() == "log" and math.isclose(low, high):
        axes.autoscale(enable=False, axis=which)
        axes.set(**{f"{which}lim": (low / 4, high * 4)})


def _draw_series(axes: Axes, panel: Panel, series: Series, look: Look) -> None:
    x, y = drawable(series.x, panel.x_scale), drawable(series.y, panel.y_scale)
    style: dict[str, Any] = {"color": look.colour, "ms": 4, "lw": 1.4, "alpha": series.alpha}
    if not panel.title or series.entry != panel.title:
        style["label"] = series.label  # a panel that bears the name needs no legend for it
    style["linestyle"] = "none" if series.drawn == "points" else _DASHES.get(series.dash, look.dash)
    if series.drawn != "line":
        style["marker"] = look.marker
    elif series.entry:
        style |= {"marker": look.marker, "markevery": max(1, x.size // _MARKERS_A_LINE)}
    if series.beyond:
        style |= {"marker": _BEYOND[series.beyond], "markerfacecolor": "white", "ms": 6}
    axes.plot(x, y, **style)
    for place, note in zip(zip(x, y, strict=True), series.notes, strict=False):
        inwards = -6 if series.beyond == "right" else 6
        axes.annotate(note, place, (inwards, 2), textcoords="offset points", fontsize=7, va="bottom",
                      ha="right" if inwards < 0 else "left", color=look.colour)  # fmt: skip
    if series.low is None or series.high is None:
        return
    low, high = (drawable(v, panel.x_scale if series.across else panel.y_scale) for v in (series.low, series.high))
    if series.drawn == "points":
        bars: dict[str, Any] = {"xerr": [x - low, high - x]} if series.across else {"yerr": [y - low, high - y]}
        axes.errorbar(x, y, fmt="none", ecolor=look.colour, elinewidth=1, capsize=2, **bars)
    else:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15 if series.entry else 0.3, linewidth=0)


def render(figure: Figure, name: str, caption: str) -> Picture:
    """The figure in all formats, with one legend below its panels of all that is labelled in them."""
    shown: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    columns = max(1, min(4, int(figure.get_figwidth() * 13 / (8 + max(map(len, shown), default=0)))))
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns, frameon=False)
    return Picture(name, caption, rendered(figure))
