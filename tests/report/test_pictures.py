"""Pictures are drawn once: those of the same data stand in the folder of the report before."""

from dataclasses import replace

import numpy as np
import pytest

from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.draw import Picture
from hessrun.report.looks import Look
from hessrun.report.pictures import Pictures

LOOKS = {"gd": Look("#000000", "-", "o"), "newton": Look("#ffffff", "-", "o")}


def _chart(name, last=1.0, entry="gd"):
    line = Series(entry, entry, np.array([0.0, 1.0]), np.array([2.0, last]))
    return Chart(name, "A caption.", (Panel((line,), "x", "y"),))


CHARTS = [_chart("one"), _chart("two", 3.0)]


def _report(out, charts, looks=LOOKS):
    """A report of these charts in place of the one before; the names of those that were drawn."""
    asked = []

    def draw(drawings):
        asked.extend(drawing.name for drawing in drawings)
        return [Picture(d.name, d.caption, {"svg": f"{d.name} {len(asked)}".encode()}) for d in drawings]

    pictures = Pictures(out, ".cache")
    made = list(pictures.drawn(charts, looks, draw))
    assert [picture.name for picture in made] == [chart.name for chart in charts]
    for folder in ("figures", ".cache"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for picture in made:
        (out / "figures" / f"{picture.name}.svg").write_bytes(picture.files["svg"])
    pictures.write(out / ".cache")
    return asked


def test_the_same_data_are_drawn_once(tmp_path):
    assert _report(tmp_path, CHARTS) == ["one", "two"]
    assert _report(tmp_path, CHARTS) == []
    assert _report(tmp_path, CHARTS) == []  # what was taken over is known to the next as well


@pytest.mark.parametrize(
    ("charts", "looks"),
    [
        ([_chart("one", 1.0 + 1e-15), CHARTS[1]], LOOKS),
        ([_chart("one", -0.0), CHARTS[1]], LOOKS),
        ([replace(CHARTS[0], caption="Another."), CHARTS[1]], LOOKS),
        ([_chart("one", entry="newton"), CHARTS[1]], LOOKS),
    ],
)
def test_what_changed_is_drawn_and_nothing_else(tmp_path, charts, looks):
    _report(tmp_path, CHARTS)
    assert _report(tmp_path, charts, looks) == ["one"]


def test_another_look_is_another_picture(tmp_path):
    _report(tmp_path, CHARTS)
    assert _report(tmp_path, CHARTS, LOOKS | {"newton": LOOKS["gd"]}) == []
    assert _report(tmp_path, CHARTS, LOOKS | {"gd": LOOKS["newton"]}) == ["one", "two"]


@pytest.mark.parametrize("damage", ["figures/one.svg", ".cache/pictures.json"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"a": 1}'])
def test_a_file_that_is_gone_or_not_as_written_is_drawn_anew(tmp_path, damage, content):
    _report(tmp_path, CHARTS)
    (tmp_path / damage).unlink()
    if content is not None:
        (tmp_path / damage).write_bytes(content)
    assert _report(tmp_path, CHARTS) == (["one"] if damage.startswith("figures") else ["one", "two"])
