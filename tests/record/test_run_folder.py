"""What a writer leaves, a reader gets back; damage is named."""

import errno
import json
import math
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from hessrun.errors import RecordError
from hessrun.record import COLUMNS, SCHEMA_VERSION, RunWriter, Spectrum, find_runs, read_run, read_runs
from hessrun.record.schema import step_file
from hessrun.record.writer import write_atomically

ROWS = [{"step": k, "train_loss": 1 / (k + 1), "test_loss": math.nan, "note": "x"} for k in range(4)]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / "one"
    with RunWriter(path, config="optimizer: bfgs\n", manifest={"run_id": "abc", "loss": math.inf}) as writer:
        for row in ROWS:
            writer.row(row)
        for step in (120, 7):
            writer.spectrum(Spectrum(step=step, n=2, kind="exact", smallest=np.array([-1.0])), np.ones(2))
        writer.status(state="finished", status="converged", reason="Done.", seconds=math.nan)
    writer.close()
    return path


def test_read_back(folder):
    run = read_run(folder)
    assert run.config == {"optimizer": "bfgs"}
    assert run.manifest == {"schema_version": SCHEMA_VERSION, "run_id": "abc", "loss": None}
    assert run.state == "finished"
    assert run.status["seconds"] is None
    pd.testing.assert_frame_equal(run.rows, pd.DataFrame(ROWS))
    assert [spectrum.step for spectrum in run.spectra] == [7, 120]
    assert np.load(folder / "points" / "000120.npz")["x"].tolist() == [1, 1]
    assert not list(folder.rglob("*.tmp"))


def test_read_by_pandas_alone(folder):
    rows = pd.read_json(folder / "trace.jsonl", lines=True)
    assert rows["train_loss"].tolist() == pytest.approx([row["train_loss"] for row in ROWS], rel=1e-9)
    assert rows["test_loss"].isna().all()


def test_json_is_strict(folder):
    def refuse(word):
        raise AssertionError(word)

    for line in (folder / "trace.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("torn", ['{"step": 4, "tr', '"', '{"step": 4}\x00', "12", "caf\udcc3"])
def test_a_torn_last_line_is_dropped(folder, torn):
    with (folder / "trace.jsonl").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(torn)
    assert [row["step"] for row in read_run(folder).trace] == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", ['{"step": 1, "tr', "[1]"])
def test_a_damaged_line_in_the_middle_is_named(folder, damage):
    lines = (folder / "trace.jsonl").read_text().splitlines()
    lines[1] = damage
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match=r"trace.jsonl: line 2 is damaged"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", None, "holds no run"),
        ("manifest.json", b"{", r"manifest.json: damaged"),
        ("manifest.json", b"[]", "not a JSON object"),
        ("manifest.json", b'{"name": "an app"}', "not a manifest of hessrun"),
        ("manifest.json", b'{"schema_version": 999}', "written with schema 999, this one reads up to"),
        ("status.json", b"\xff\xfe", r"status.json: damaged"),
        ("config.yaml", b"a: [", r"config.yaml: cannot be read"),
        ("config.yaml", b"\xff\xff", r"config.yaml: cannot be read"),
        ("config.yaml", b"word", "not a mapping"),
        ("config.yaml", None, "config.yaml: cannot be read"),
        ("trace.jsonl", None, "trace.jsonl: cannot be read"),
    ],
)
def test_folders_that_are_no_runs(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(RecordError, match=message) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert read_runs([folder]) == ([], [str(caught.value)])


def test_a_run_without_status_is_running(folder):
    (folder / "status.json").unlink()
    assert read_run(folder).state == "running"


def test_finding_runs(folder, tmp_path):
    assert find_runs([tmp_path, folder]) == [folder]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="holds no run"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(RecordError, match="there is no such folder"):
        find_runs([tmp_path / "nowhere"])
    assert len(read_runs([folder])[0]) == 1


def test_what_is_half_written_beside_a_run_is_no_run(folder, tmp_path):
    half = folder.parent / f".{folder.name}-k2x9"
    shutil.copytree(folder, half)
    assert find_runs([tmp_path]) == [folder]
    assert find_runs([half]) == [half]  # named by the user


@pytest.mark.parametrize("cut", [0, 10, 300])
def test_a_damaged_spectrum_is_left_out_with_a_warning(folder, cut):
    path = folder / step_file("spectra", 7)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.warns(UserWarning, match="left out: .*000007.npz"):
        assert [spectrum.step for spectrum in read_run(folder).spectra] == [120]


def test_columns_have_names_of_their_own():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


def test_a_small_file_that_cannot_be_written_leaves_nothing_beside_the_old_one(tmp_path, monkeypatch) -> None:
    write_atomically(tmp_path / "status.json", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "status.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert (tmp_path / "status.json").read_text() == "old"
