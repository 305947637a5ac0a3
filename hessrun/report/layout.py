"""Lays out a figure's panels, their ticks measured once: left to itself, matplotlib measures all of them ten times."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D


def lay_out(figure: Figure, renderer: RendererBase) -> None:
    """Give the panels and the legend their places, for good: nothing is laid out anew when the figure is drawn."""
    for axes in figure.axes:
        _place_labels(axes, renderer)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


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
