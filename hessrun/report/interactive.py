"""A chart as the page draws it: for each panel the traces and the layout of a plotly figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hessrun.report.chart import Chart, Panel, Scale, Series
from hessrun.report.drawable import drawable, thinned
from hessrun.report.groups import Array
from hessrun.report.looks import Look, grey

_MOST_POINTS, _FEWEST_POINTS = 400, 40  # of a series in the page
_PAGE_POINTS = 80_000  # of all series of a page, some 50 bytes each with their bands
_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_WORDS = {"solid": "solid", "dashed": "dash", "dotted": "dot"}
_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "*": "star",
}


def points_a_series(charts: Sequence[Chart]) -> int:
    """How many points each series of these charts may have, so that one page can carry them all."""
    count = sum(len(panel.series) for chart in charts for panel in chart.panels)
    return min(_MOST_POINTS, max(_FEWEST_POINTS, _PAGE_POINTS // max(1, count)))


def interactive(chart: Chart, looks: Mapping[str, Look], *, points: int = _MOST_POINTS) -> dict[str, Any]:
    """The chart as JSON: its name, caption and panels.

    A panel has `axis`, `title`, and plotly's `data` and `layout`. plotly has no symlog axis: values are given as they
    are, `scales` says how each axis is to be drawn, and the page's script places them. points: of a series, at most.
    """
    return {
        "name": chart.name,
        "caption": chart.caption,
        "panels": [_panel(panel, looks, points) for panel in chart.panels],
    }


def numbers(values: Array) -> list[float | None]:
    """Values with five significant digits; None for what is not finite."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]


def _panel(panel: Panel, looks: Mapping[str, Look], points: int) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    greys = 0
    for series in panel.series:
        look = looks.get(series.entry) or grey(greys)
        greys += series.entry not in looks
        data += _traces(panel, series, look, points)
    return {
        "axis": panel.axis,
        "title": panel.title,
        "scales": {
            "x": {"scale": panel.x_scale, "linthresh": panel.x_linthresh},
            "y": {"scale": panel.y_scale, "linthresh": panel.linthresh},
        },
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": panel.x_label}, "type": _type(panel.x_scale)},
            "yaxis": {"title": {"text": panel.y_label}, "type": _type(panel.y_scale)} | _named(panel.y_names),
        },
    }


def _named(names: tuple[str, ...]) -> dict[str, Any]:
    """What the page lays over the ticks of an axis that has names in place of numbers."""
    if not names:
        return {}
    places = list(range(len(names)))
    return {
        "named": {"tickmode": "array", "tickvals": places, "ticktext": list(names), "range": [-0.6, len(names) - 0.4]}
    }


def _type(scale: Scale) -> str:
    return "log" if scale == "log" else "linear"


def _traces(panel: Panel, series: Series, look: Look, points: int) -> list[dict[str, Any]]:
    """The line, and before it its band; `meta` names the entry that a click in a legend toggles."""
    x, y = drawable(series.x), drawable(series.y)
    kept = thinned(y, points)
    dash = _WORDS.get(series.dash) or _DASHES[look.dash]
    modes = {"line": "lines", "points": "markers", "both": "lines+markers"}
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": modes[series.drawn],
        "name": series.label,
        "meta": series.entry,
        "showlegend": series.label != "",
        "x": numbers(x[kept]),
        "y": numbers(y[kept]),
        "line": {"color": look.colour, "dash": dash, "width": 1.8},
        "marker": {
            "color": look.colour,
            "symbol": f"triangle-{series.beyond}-open" if series.beyond else _SYMBOLS[look.marker],
            "size": 7,
        },
        "opacity": series.alpha,
        "hovertemplate": f"{panel.x_label}: %{{x:.6~g}}<br>{panel.y_label}: %{{y:.5~g}}%{{text}}",
        "text": [f"<br>{series.hover[i]}" for i in kept] if series.hover else "",
    }
    if series.low is None or series.high is None:
        return [line]
    low, high = (drawable(v, panel.x_scale if series.across else panel.y_scale) for v in (series.low, series.high))
    if series.drawn == "points":
        middle = x if series.across else y
        line["error_x" if series.across else "error_y"] = {
            "type": "data",
            "symmetric": False,
            "thickness": 1,
            "width": 3,
            "array": numbers((high - middle)[kept]),
            "arrayminus": numbers((middle - low)[kept]),
        }
        return [line]
    whole = [i for i in kept if np.isfinite([x[i], low[i], high[i]]).all()]
    band = {
        "type": "scatter",
        "mode": "lines",
        "name": series.label,
        "meta": series.entry,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"width": 0, "color": look.colour},
        "fill": "toself",
        "opacity": 0.18,
        "fillcolor": look.colour,
        "x": numbers(np.concatenate([x[whole], x[whole][::-1]])),
        "y": numbers(np.concatenate([high[whole], low[whole][::-1]])),
    }
    return [band, line]
