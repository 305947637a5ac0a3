"""Figures: fixed looks, ticks in plain characters, no picture without data."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from hessrun.record import read_run
from hessrun.report import draw as module
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.draw import draw, render
from hessrun.report.figures import figures
from hessrun.report.groups import grouped
from hessrun.report.looks import looks
from hessrun.report.ticks import number, power, tick_plainly


def test_a_known_name_looks_the_same_whoever_else_is_there():
    alone = looks(["lbfgs"])
    among = looks(["mine", "gd (lr=0.1)", "adam", "lbfgs", "gd", "newton"])
    assert alone["lbfgs"] == among["lbfgs"]
    assert among["gd (lr=0.1)"] == looks(["gd"])["gd"]


def test_no_two_of_many_entries_look_alike():
    styles = looks(f"gd (lr={k})" for k in range(30))
    assert len(set(styles.values())) == 30
    assert len({(look.dash, look.marker) for look in styles.values()}) == 30


@pytest.mark.parametrize("value", [30.0, 0.16637978, 100.0])
def test_points_at_one_place_of_a_logarithmic_axis_are_drawn(value):
    x = np.array([value])
    mark = Series("gd", "gd", x, np.zeros(1), low=x, high=x, drawn="points", across=True)
    panel = Panel((mark,), "iterations", "", x_scale="log", y_names=("gd",))
    assert draw(Chart("one", "One point.", (panel,)), looks(["gd"])).files["svg"]  # warnings are errors here


def test_what_is_not_recorded_is_not_drawn(tmp_path, write_run):
    folder = write_run(tmp_path, "gd", 0, [1.0, 0.5], spectra=False, accuracy=False)
    (group,) = grouped([read_run(folder)])
    assert [picture.name for picture in figures(group, "p")] == ["p-loss", "p-gradient", "p-step"]


def test_a_loss_below_zero_and_a_gradient_of_zero_are_drawn_or_left_out(tmp_path, write_run):
    folder = write_run(tmp_path, "gd", 0, [-1.0, -2.0], spectra=False, accuracy=False)
    (group,) = grouped([read_run(folder)])
    assert [picture.name for picture in figures(group, "p")] == ["p-loss", "p-step"]


def test_a_known_minimum_makes_the_loss_an_excess(tmp_path, write_run):
    folder = write_run(tmp_path, "bfgs", 0, [3.0, 2.0, 1.0], spectra=False, accuracy=False, known_minimum=1.0)
    (group,) = grouped([read_run(folder)])
    assert "training loss above the minimum against iterations" in figures(group, "p")[0].caption


@pytest.mark.parametrize(("first", "known_minimum"), [(2.0, None), (1e-300, 0.0)])
def test_of_a_loss_that_overflows_the_part_before_is_drawn(tmp_path, write_run, monkeypatch, first, known_minimum):
    losses = [first, *(10.0**k for k in range(0, 308, 10)), 1e307, math.inf]
    folders = [
        write_run(tmp_path, "gd", 0, losses, accuracy=False, known_minimum=known_minimum),
        write_run(tmp_path, "bfgs", 0, [2.0, 1e-3, 1e-9], accuracy=False, known_minimum=known_minimum),
    ]
    drawn = {}

    def kept(figure, name, caption):
        drawn[name] = figure
        return render(figure, name, caption)

    monkeypatch.setattr(module, "render", kept)
    (group,) = grouped([read_run(folder) for folder in folders])
    style = looks(entry.label for entry in group.entries)
    captions = {(picture := draw(chart, style)).name: picture.caption for chart in figures(group, "p")}
    for name in ("p-loss", "p-gradient"):
        assert captions[name].endswith("Values beyond 1e280 are not drawn.")
        assert drawn[name].axes
        for panel in drawn[name].axes:
            assert panel.get_yscale() == "log"
            low, high = panel.get_ylim()
            assert 0 < low < 1e-9
            assert 1e280 < high < math.inf
            (curve,) = [line for line in panel.lines if line.get_label().startswith("gd")]
            values = curve.get_ydata()
            assert values[np.isfinite(values)].max() == 1e280
            assert np.isnan(values[-3:]).all()
            ticks = [text for text in panel.yaxis.get_major_formatter().format_ticks(panel.get_yticks()) if text]
            assert len(ticks) >= 3
    assert not captions["p-step"].endswith("not drawn.")


@pytest.mark.parametrize(
    ("value", "label"), [(0.0, "0"), (1e-3, "10⁻³"), (-1e12, "−10¹²"), (0.1, "0.1"), (-10.0, "−10"), (2e-3, "")]
)
def test_powers_of_ten(value, label):
    assert power(value) == label


def test_a_minus_sign():
    assert number(-0.25) == "−0.25"


@pytest.mark.parametrize(
    ("scale", "limits", "labels"),
    [
        ("log", (1.0, 2.0), {"1.2", "1.4"}),
        ("log", (0.9, 12.0), {"1", "2", "5", "10"}),
        ("log", (1e-6, 1.0), {"10⁻⁴", "10⁻²"}),
        ("symlog", (-1e4, 1e4), {"0"}),
        ("symlog", (-2.6, -1.2), {"−1.5", "−2.1"}),  # within a decade
        ("linear", (0.0, 1.0), {"0.2", "0.4"}),
    ],
)
def test_ticks_of_each_scale(scale, limits, labels):
    axes = Figure().subplots()
    axes.set_yscale(scale)
    axes.set_ylim(*limits)
    tick_plainly(axes.yaxis, limits)
    shown = {text for text in axes.yaxis.get_major_formatter().format_ticks(axes.yaxis.get_majorticklocs()) if text}
    assert labels <= shown
    assert len(shown) <= 12
