"""A figure drawn in three formats at once is what matplotlib draws in each of them alone."""

import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from hessrun.report.draw import SETTINGS
from hessrun.report.formats import DPI, rendered


@pytest.fixture
def figure():
    """Lines, markers, bars, a band, a clipped and a rasterised map with its colours, notes and a legend."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8.0, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        x = np.linspace(1, 10, 50)
        left.plot(x, np.exp(x), "-o", markevery=7, label="a line")
        left.fill_between(x, 0.5 * np.exp(x), 2 * np.exp(x), alpha=0.15)
        left.errorbar(x[::9], np.exp(x[::9]), yerr=x[::9], fmt="s", label="points")
        left.set(yscale="log", xlim=(2, 9), xlabel="iterations", ylabel="training loss", title="one")
        left.annotate("10⁻³", (5, 100), (6, 2), textcoords="offset points", rotation=30)
        right.set(xlabel="probed", ylabel="eigenvalue", title="two")
        image = right.pcolormesh(np.arange(12.0).reshape(3, 4), rasterized=True)
        figure.colorbar(image, ax=right, label="share")
        figure.legend(loc="outside lower center", ncols=2)
        yield figure


def alone(figure, kind, **options):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, **options)
    return buffer.getvalue()


def test_the_png_has_the_pixels_of_savefig(figure):
    mine = imread(io.BytesIO(rendered(figure)["png"]))
    assert mine.shape == (450, 1200, 3)
    np.testing.assert_array_equal(mine, imread(io.BytesIO(alone(figure, "png")))[..., :3])


def test_the_svg_has_the_shapes_of_savefig(figure):
    mine = rendered(figure)["svg"].decode()
    theirs = alone(figure, "svg", metadata={"Date": None}).decode()
    for shape in ("<g", "<path", "<use", "<image", "clip-path=", "<rect"):
        assert mine.count(shape) == theirs.count(shape), shape
    assert mine.splitlines()[:5] == theirs.splitlines()[:5]  # the size among them
    marks = [np.array(re.findall(r'<use [^>]*x="([^"]*)" y="([^"]*)"', svg), float) for svg in (mine, theirs)]
    assert marks[0].size > 0
    np.testing.assert_allclose(*marks, atol=0.5)  # points: letters are as wide as the pixels make them


def test_the_pdf_has_the_page_of_savefig(figure):
    mine, theirs = rendered(figure)["pdf"], alone(figure, "pdf", metadata={"CreationDate": None})
    box = rb"/MediaBox \[[^]]*\]"
    assert re.findall(box, mine) == re.findall(box, theirs)
    assert mine.count(b"/Subtype /Image") == theirs.count(b"/Subtype /Image") > 0
    assert mine.count(b"/Type /Font") == theirs.count(b"/Type /Font") > 0


def test_labels_and_panels_stand_where_matplotlib_puts_them(figure):
    figure.set_dpi(DPI)
    figure.draw_without_rendering()
    theirs = [places(axes) for axes in figure.axes]
    rendered(figure)
    np.testing.assert_allclose([places(axes) for axes in figure.axes], theirs, atol=3.0)  # pixels


def places(axes):
    """[4, 4]: the corners of the panel, of both labels and of the title, in pixels."""
    texts = [text.get_window_extent().extents for text in (axes.xaxis.label, axes.yaxis.label, axes.title)]
    return [axes.bbox.extents, *texts]
