"""A figure as data: drawn once by matplotlib for papers, and once in the page, where it can be pointed at."""

from dataclasses import dataclass
from typing import Literal

from hessrun.report.groups import Array

Scale = Literal["linear", "log", "symlog"]
Drawn = Literal["line", "points", "both"]
Dash = Literal["", "solid", "dashed", "dotted"]
Beyond = Literal["", "left", "right"]


@dataclass(frozen=True)
class Series:
    """One optimizer's, or one quantity's, line in a panel.

    label: what the legend says; a series without one is left out of it. entry: the label of the entry whose colour,
    dash and marker it has, or "" for a quantity that is no optimizer's (a fit, a noise floor), drawn in grey.
    x, y: [points]; low, high: [points], a band around y, or None.
    hover: what pointing at each point says beside x and y, [points] strings, or nothing.
    dash: in place of the entry's own, where a panel holds several lines of one entry; alpha: from 0 to 1.
    across: low and high lie around x, not y. beyond: points at an edge that stand for values beyond it, such as a
    miss, drawn as hollow triangles. notes: printed beside each point, [points] strings, or nothing.
    """

    label: str
    entry: str
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    drawn: Drawn = "line"
    hover: tuple[str, ...] = ()
    dash: Dash = ""
    alpha: float = 1.0
    across: bool = False
    beyond: Beyond = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes. x_label and y_label name the quantity with its unit, as `optimizer time (s)`.

    axis: `step`, `seconds` or `passes` where the page may switch between panels that show the same against another
    axis, else "". linthresh, x_linthresh: where a symlog axis is linear.
    in_paper: a panel that is there for the page's switch alone is not drawn for papers.
    y_names: what stands at y = 0, 1, 2 ... in place of numbers, upwards.
    """

    series: tuple[Series, ...]
    x_label: str
    y_label: str
    title: str = ""
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    axis: str = ""
    linthresh: float = 1e-6
    x_linthresh: float = 1.0
    in_paper: bool = True
    y_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """name: that of its files; caption: a sentence or two that a paper could print below it."""

    name: str
    caption: str
    panels: tuple[Panel, ...]
