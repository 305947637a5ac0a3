"""Lays out a figure's panels, their ticks measured once: left to itself, matplotlib measures all of them ten times."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox


def lay_out(figure: Figure, renderer: RendererBase) -> None:
    """Give the panels and the legend their places, for good: nothing is laid out anew when the figure is drawn."""
    engine = figure.get_layout_engine()
    if engine is None:
        return
    for axes in figure.axes:
        _place_labels(axes, renderer)
    of_free_shape = [axes for axes in figure.axes if axes.get_axes_locator() is None]  # no bar of colours
    for axes in of_free_shape:
        setattr(axes, "get_tightbbox", _as_measured(axes, renderer))  # noqa: B010 - hides the class's method
    engine.execute(figure)
    figure.set_layout_engine(None)
    for axes in of_free_shape:
        delattr(axes, "get_tightbbox")


def _as_measured(axes: Axes, renderer: RendererBase) -> Callable[..., Bbox | None]:
    """What tells how far the axes reach with all that is around them: as far beyond them as now, wherever they are."""
    box = axes.get_tightbbox(renderer, for_layout_only=True)
    if box is None:
        return lambda *_, **__: None
    beyond = np.asarray(box.get_points()) - np.asarray(axes.bbox.get_points())
    return lambda *_, **__: Bbox(np.asarray(axes.bbox.get_points()) + beyond)


def _place_labels(axes: Axes, renderer: RendererBase) -> None:
    """Put the labels of the axes where matplotlib would, beside what the ticks take, and the title above the panel."""
    axes.set_title(axes.get_title(), y=1.0, fontsize=axes.title.get_fontsize())
    pixels = float(np.asarray(renderer.points_to_pixels(1.0)))
    for axis, across in ((axes.xaxis, False), (axes.yaxis, True)):
        if axis.get_label_position() not in ("bottom", "left"):
            continue
        side, edge = ("left", axes.bbox.x0) if across else ("bottom", axes.bbox.y0)
        outermost = edge
        if axis.label.get_text():
            axis.set_label_coords(0.0, 0.0)
            axis.label.set_visible(False)
            boxes: list[Any] = [axis.get_tightbbox(renderer)]
            axis.label.set_visible(True)
            boxes.append(axes.spines[side].get_window_extent(renderer) if side in axes.spines else None)
            outermost = min([edge, *((box.x0 if across else box.y0) for box in boxes if box is not None)])
        away = outermost - edge - axis.labelpad * pixels
        beside = axes.transAxes + (Affine2D().translate(away, 0) if across else Affine2D().translate(0, away))
        axis.set_label_coords(0.0 if across else 0.5, 0.5 if across else 0.0, transform=beside)
