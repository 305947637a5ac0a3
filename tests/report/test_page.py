"""The page as text: what stands in it without a script, and that nothing in it can be fetched or can end the script."""

import html.parser
import json
import re

import numpy as np
import pytest

from hessrun.report import build, page
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.document import Illustration, Section
from hessrun.report.draw import Picture
from hessrun.report.drawable import thinned
from hessrun.report.interactive import interactive
from hessrun.report.looks import looks


@pytest.fixture(scope="module")
def written(tmp_path_factory, write_run):
    folder = tmp_path_factory.mktemp("page")
    for name in ("</script><b>&", "newton"):
        write_run(folder / "runs", name.replace("/", "\\"), 0, [1.0, 0.5, 0.25])
    return build([folder / "runs"], folder / "out")


class _Links(html.parser.HTMLParser):
    """Collects what a browser would fetch, and the headings."""

    def __init__(self):
        super().__init__()
        self.fetched, self.headings, self._heading = [], [], False

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.fetched += [found[name] for name in ("src", "srcset", "data") if name in found]
        self.fetched += [found["href"]] if tag in ("link", "base") and "href" in found else []
        self._heading = tag in ("h1", "h2")

    def handle_data(self, data):
        if self._heading:
            self.headings.append(data)
            self._heading = False


def test_the_page_fetches_nothing_and_forbids_it(written):
    text = written.html.read_text(encoding="utf-8")
    links = _Links()
    links.feed(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert links.fetched == []
    assert "default-src 'none'" in text
    assert links.headings[1:4] == ["Results", "Discussion", "Conclusion"]


def test_its_data_are_strict_json_that_cannot_end_the_script(written):
    text = written.html.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)
    assert "<" not in data
    known = json.loads(data)
    assert {entry["label"] for entry in known["entries"]} == {"<\\script><b>&", "newton"}
    assert "problem1-loss" in known["charts"]
    assert known["spectra"][0]["runs"][0]["probes"][0]["values"] == [-1.0, 1.0, 2.0, 4.0]


def test_claims_stand_in_a_file_in_tables_and_in_the_page(written):
    claims = json.loads((written.html.parent / "claims.json").read_text(encoding="utf-8"))
    assert {claim["verdict"] for claim in claims} <= {"supported", "contradicted", "not enough data"}
    assert {"id", "statement", "evidence", "correction", "numbers", "interval", "figure"} <= claims[0].keys()
    lines = (written.tables / "claims.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("assertion,verdict,evidence")
    assert (written.tables / "claims.tex").read_text(encoding="utf-8").count(r"\toprule") == 1
    assert 'id="table-claims"' in written.html.read_text(encoding="utf-8")
    for claim in claims:
        assert claim["figure"] is None or (written.html.parent / claim["figure"]).exists()


def test_pictures_that_the_page_has_no_room_for_are_linked(monkeypatch):
    monkeypatch.setattr(page, "_STATIC_BYTES", 20)
    pictures = [
        Picture(name, "", {"svg": f"<svg>{name * size}</svg>".encode()}) for name, size in (("a", 1), ("b", 99))
    ]
    text = page.html([Section("t", illustrations=[Illustration(picture) for picture in pictures])], {})
    assert "<svg>a</svg>" in text
    assert '<a href="figures/b.svg">' in text
    assert "Plotly" not in text.split("<script")[0]


def test_thinned_series_keep_their_ends_and_extremes():
    values = np.sin(np.arange(5000.0))
    values[[1234, 4321]] = [-7.0, 7.0]
    kept = thinned(values, 100)
    assert kept.size <= 100
    assert {0, 1234, 4321, 4999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()
    assert thinned(np.full(500, np.nan), 100).tolist() == [0, 499]


def test_the_page_draws_what_the_paper_draws():
    x = np.array([0.0, 1.0, 2.0])
    series = Series("gd", "gd", x, np.array([1.0, np.nan, 0.1]), low=x + 0.1, high=x + 1)
    chart = Chart("c", "A caption.", (Panel((series,), "iterations", "loss", y_scale="log", axis="step"),))
    style = looks(["gd"])
    (panel,) = interactive(chart, style)["panels"]
    band, line = panel["data"]
    assert line["line"]["color"] == band["fillcolor"] == style["gd"].colour
    assert line["y"] == [1.0, None, 0.1]
    assert band["x"] == [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    assert panel["axis"] == "step"
    assert panel["layout"]["yaxis"] == {"title": {"text": "loss"}, "type": "log"}
    json.dumps(interactive(chart, style), allow_nan=False)
