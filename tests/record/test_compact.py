"""A compact record is read as the record it was made of; thinning keeps what it says; foreign folders are refused."""

import gzip
import json

import numpy as np
import pytest

from hessrun.errors import OptionError, RecordError
from hessrun.record import RunWriter, Spectrum, read_run
from hessrun.record.compact import Compaction, compact, size, spaced, thinned


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "runs" / "one"
    with RunWriter(path, config="optimizer: bfgs\n", manifest={"run_id": "one-abc"}) as writer:
        for step in range(300):
            writer.row({"step": step, "train_loss": 1 / (3 + step), "test_loss": np.nan if step % 2 else 0.1})
        for step in (0, 10, 20, 100, 299):
            writer.spectrum(Spectrum(step=step, n=2, kind="exact", eigenvalues=np.array([-1.0, 2.0])), np.ones(2))
        writer.status(state="finished", status="converged", reason="Done.")
    (path / "checkpoint.pt").write_bytes(b"state")
    (path / "run.log").write_text("said\n")
    return read_run(path)


def test_all_rows_and_spectra_are_read_back(run, tmp_path):
    out = tmp_path / "small" / "one"
    compact(run, out, Compaction())
    found = read_run(out)
    np.testing.assert_equal(found.trace, run.trace)
    assert (found.config, found.status) == (run.config, run.status)
    assert found.manifest == run.manifest | {"rows_thinned": False, "compact": {"rows": 300, "spectra": 5}}
    assert [s.step for s in found.spectra] == [s.step for s in run.spectra]
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"config.yaml", "manifest.json", "status.json", "trace.jsonl.gz"} | {
        f"spectra/{step:06d}.npz" for step in (0, 10, 20, 100, 299)
    }
    assert (out / "trace.jsonl.gz").stat().st_size < (run.path / "trace.jsonl").stat().st_size / 4
    assert size(out) < size(run.path)
    assert [path.name for path in out.parent.iterdir()] == ["one"]


def test_thinned_rows_and_spectra(run, tmp_path):
    out = tmp_path / "small"
    compact(run, out, Compaction(rows=30, spectra=3), needed={137})
    found = read_run(out)
    steps = [row["step"] for row in found.trace]
    assert {*range(10), *range(290, 300), 20, 100, 137} <= set(steps)
    assert len(steps) < 60
    assert found.manifest["rows_thinned"] is True
    assert [s.step for s in found.spectra] == [0, 20, 299]
    by_step = {row["step"]: row for row in run.trace}
    np.testing.assert_equal(found.trace, [by_step[step] for step in steps])


def test_the_same_rows_give_the_same_bytes_and_replace_the_earlier_record(run, tmp_path):
    out = tmp_path / "small"
    compact(run, out, Compaction())
    first = (out / "trace.jsonl.gz").read_bytes()
    (out / "spectra" / "000777.npz").write_bytes(b"old")
    compact(run, out, Compaction())
    assert (out / "trace.jsonl.gz").read_bytes() == first
    assert len(read_run(out).spectra) == 5


def test_a_compact_record_can_be_thinned_further(run, tmp_path):
    compact(run, tmp_path / "first", Compaction())
    compact(read_run(tmp_path / "first"), tmp_path / "second", Compaction(rows=20))
    found = read_run(tmp_path / "second")
    assert found.manifest["rows_thinned"] is True
    assert found.manifest["compact"]["rows"] == 300
    assert found.trace[-1] == run.trace[-1] | {"test_loss": pytest.approx(np.nan, nan_ok=True)}


@pytest.mark.parametrize(
    ("keep", "files"), [(("points",), {"points/000010.npz"}), (("points", "checkpoint"), {"checkpoint.pt"})]
)
def test_points_and_checkpoint_are_kept_when_asked_for(run, tmp_path, keep, files):
    compact(run, tmp_path / "small", Compaction(keep=keep))
    assert all((tmp_path / "small" / name).read_bytes() == (run.path / name).read_bytes() for name in files)


def _foreign_file(out):
    out.write_text("mine")


def _foreign_folder(out):
    out.mkdir()
    (out / "notes.txt").write_text("mine")


def _whole_record(out):
    with RunWriter(out, config="optimizer: gd\n", manifest={"run_id": "one-abc"}) as writer:
        writer.row({"step": 0})


def _other_run(out):
    with RunWriter(out, config="optimizer: gd\n", manifest={"run_id": "two", "compact": {}}) as writer:
        writer.row({"step": 0})


def _link(out):
    out.symlink_to(out.parent / "nowhere")


@pytest.mark.parametrize("make", [_foreign_file, _foreign_folder, _whole_record, _other_run, _link])
def test_a_foreign_folder_is_refused_and_left_alone(run, tmp_path, make):
    out = tmp_path / "small"
    make(out)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(RecordError, match=r"give another --out\.$"):
        compact(run, out, Compaction())
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda packed: packed[:-20], "damaged"),
        (lambda packed: b"not gzip", "damaged"),
        (lambda packed: gzip.compress(b'{"step": 0}\n{"st\n{"step": 2}\n'), "line 2 is damaged"),
    ],
)
def test_a_damaged_trace_is_named(run, tmp_path, damage, said):
    compact(run, tmp_path / "small", Compaction())
    trace = tmp_path / "small" / "trace.jsonl.gz"
    trace.write_bytes(damage(trace.read_bytes()))
    with pytest.raises(RecordError, match=rf"trace\.jsonl\.gz: {said}"):
        read_run(tmp_path / "small")


def test_the_plain_trace_is_read_where_both_are(run):
    (run.path / "trace.jsonl.gz").write_bytes(gzip.compress(json.dumps({"step": 5}).encode()))
    assert len(read_run(run.path).trace) == 300


@pytest.mark.parametrize("options", [{"rows": 1}, {"spectra": 0}, {"keep": ("spectra",)}])
def test_options_outside_their_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        Compaction(**options)


@pytest.mark.parametrize(("count", "wanted"), [(1, 5), (5, 5), (1000, 200), (1000, 2), (7, 6)])
def test_spaced_holds_both_ends_and_no_more_than_wanted(count, wanted):
    found = spaced(count, wanted)
    assert (found[0], found[-1]) == (0, count - 1)
    assert found == sorted(set(found))
    assert len(found) <= wanted


def test_few_rows_are_not_thinned():
    assert thinned(range(15), 20, ()) == list(range(15))
