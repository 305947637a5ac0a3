"""Panels of the same quantity share its axis; those of others, or of values far apart, keep their own."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from hessrun.report import draw as module
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.draw import draw, render
from hessrun.report.looks import looks
from hessrun.report.panels import grid


@pytest.fixture
def drawn(monkeypatch):
    """Draws panels whose series reach up to the given heights; returns the figure's axes."""
    figures: list[Figure] = []

    def keep(figure, name, caption):
        figures.append(figure)
        return render(figure, name, caption)

    monkeypatch.setattr(module, "render", keep)

    def draw_all(heights, **given):
        names = [f"method{i}" for i in range(len(heights))]
        panels = tuple(
            Panel((Series(name, name, np.arange(3.0), np.array([0.5, 1.0, height])),), "iterations", "loss", **given)
            for name, height in zip(names, heights, strict=True)
        )
        draw(Chart("c", "A chart.", panels), looks(names))
        return figures[-1].axes

    return draw_all


def labelled(axes):
    """The indices of the panels with labels at their y axis, and of those with labels at their x axis."""
    ticks = [
        [i for i, place in enumerate(axes) if any(text.get_text() and text.get_visible() for text in texts(place))]
        for texts in (lambda place: place.get_yticklabels(), lambda place: place.get_xticklabels())
    ]
    names = [[i for i, a in enumerate(axes) if a.get_ylabel()], [i for i, a in enumerate(axes) if a.get_xlabel()]]
    assert ticks == names
    return names


def test_panels_of_one_quantity_have_one_scale_and_labels_at_the_outermost(drawn):
    axes = drawn([1.2, 1.5, 2.0, 1.1, 1.0])  # three in a row
    assert len({a.get_ylim() for a in axes}) == len({a.get_xlim() for a in axes}) == 1
    assert axes[0].get_ylim()[1] >= 2.0
    assert labelled(axes) == [[0, 3], [2, 3, 4]]  # the third has none below it


def test_a_panel_that_reaches_far_does_not_flatten_the_others(drawn):
    axes = drawn([1.2, 1.5, 1e6], y_scale="log")
    assert axes[0].get_ylim()[1] < 3 < 1e6 < axes[2].get_ylim()[1]
    assert labelled(axes)[0] == [0, 1, 2]


def test_panels_of_different_quantities_keep_their_axes(monkeypatch):
    line = Series("gd", "gd", np.arange(3.0), np.ones(3))
    figures = []
    monkeypatch.setattr(module, "render", lambda figure, *_: figures.append(figure))
    panels = tuple(Panel((line,), "iterations", name) for name in ("loss", "accuracy"))
    draw(Chart("c", "A chart.", panels), looks(["gd"]))
    assert [a.get_ylabel() for a in figures[0].axes] == ["loss", "accuracy"]


@pytest.mark.parametrize(("title", "in_legend"), [("", True), ("gd", False), ("first probe", True)])
def test_the_legend_leaves_out_whom_the_title_names(monkeypatch, title, in_legend):
    figures = []
    monkeypatch.setattr(module, "render", lambda figure, *_: figures.append(figure))
    panel = Panel((Series("gd, largest", "gd", np.arange(3.0), np.ones(3)),), "iterations", "loss", title)
    draw(Chart("c", "A chart.", (panel,)), looks(["gd"]))
    assert (figures[0].axes[0].get_legend_handles_labels()[1] == ["gd, largest"]) is in_legend


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (7, (3, 3))])
def test_rows_of_panels(count, shape):
    figure, panels = grid(count)
    assert len(panels) == len(figure.axes) == count
    assert math.prod(shape) >= count
    assert panels[0].get_gridspec().get_geometry() == shape
