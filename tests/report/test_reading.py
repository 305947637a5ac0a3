"""Runs are read once: what an earlier report read of a file that is still the same stands in its folder."""

import importlib

import numpy as np
import pytest

from hessrun.record.reader import read_trace, trace_file
from hessrun.record.rows import Rows
from hessrun.report import build
from hessrun.report.folder import CACHE
from hessrun.report.reading import read

PLAIN = {"spectra": False, "accuracy": False}
reading = importlib.import_module("hessrun.report.reading")


@pytest.fixture
def reported(tmp_path, write_run, without_figures, monkeypatch):
    """The folders of two runs, that of a report on them, and the traces that are read from now on."""
    runs = [write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5], **PLAIN) for seed in (0, 1)]
    out = build([tmp_path / "runs"], tmp_path / "out").html.parent
    opened = []

    def counted(path):
        opened.append(path.parent)
        return read_trace(path)

    monkeypatch.setattr(reading, "read_trace", counted)
    return runs, out, opened


def test_what_has_not_changed_is_not_read_again(reported):
    runs, out, opened = reported
    found, _, _ = read([runs[0].parent], out / CACHE, iter)
    assert opened == []
    assert [list(run.trace.column("train_loss")) for run in found] == [[1.0, 0.5]] * 2


def test_a_run_that_went_on_is_read_again_and_the_other_is_not(reported):
    runs, out, opened = reported
    with (runs[1] / "trace.jsonl").open("a") as file:
        file.write('{"step": 2, "train_loss": 0.25}\n')
    found, _, _ = read([runs[0].parent], out / CACHE, iter)
    assert opened == [runs[1]]
    assert found[1].trace.column("train_loss")[-1] == 0.25


@pytest.mark.parametrize("name", ["rows.npz", "index.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04 torn", None])
def test_a_damaged_cache_is_read_past(reported, name, content):
    runs, out, opened = reported
    path = out / CACHE / name
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    found, _, missing = read([runs[0].parent], out / CACHE, iter)
    assert opened == runs
    assert len(found) == 2
    assert missing == []


def test_version_control_leaves_the_cache_out(reported):
    _, out, _ = reported
    assert (out / CACHE / ".gitignore").read_text() == "*\n"


def test_columns_hold_what_the_rows_held(tmp_path):
    (tmp_path / "trace.jsonl").write_text(
        '{"step": 0, "loss": null, "word": "x"}\n{"loss": 0.5, "step": 1}\n{"step": 2, "lo'
    )
    rows = Rows.of(read_trace(trace_file(tmp_path)))
    assert len(rows) == 2
    assert rows[-1]["loss"] == 0.5
    np.testing.assert_array_equal(rows.column("step"), [0, 1])
    np.testing.assert_array_equal(rows.column("loss"), [np.nan, 0.5])
    np.testing.assert_array_equal(rows.column("word"), [np.nan, np.nan])
    np.testing.assert_array_equal(rows.column("none"), [np.nan, np.nan])
    assert [row["step"] for row in rows] == [row["step"] for row in rows[:]] == [0, 1]


def test_many_processes_write_what_one_writes(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], **PLAIN)
    pages = [build([tmp_path / "runs"], tmp_path / str(jobs), jobs=jobs).html.parent for jobs in (1, 2)]
    for file in (path for path in pages[0].rglob("*") if path.is_file()):
        assert file.read_bytes() == (pages[1] / file.relative_to(pages[0])).read_bytes(), file
