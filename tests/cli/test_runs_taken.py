"""Which runs `report` and `status` take where none are named: one's own, not the compact records of a study."""

import json
from pathlib import Path

import pytest

from hessrun.cli.taken import runs_taken
from hessrun.errors import RecordError


def _run(folder: Path, **manifest: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 1, **manifest}))
    return folder


def test_what_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert runs_taken(["elsewhere"]) == [Path("elsewhere")]
    with pytest.raises(RecordError, match="outputs: there is no such folder; run something first"):
        runs_taken([])


def test_by_default_ones_own_runs_and_compact_ones_where_there_is_nothing_else(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _run(tmp_path / "outputs" / "reference" / "records" / "wine" / "gd", compact={"rows": 10})
    assert runs_taken([]) == [Path("outputs")]
    trial = _run(tmp_path / "outputs" / "default" / "tuning" / "runs" / "gd", role="tuning")
    assert runs_taken([]) == [Path("outputs")]  # a trial is no result
    own = _run(tmp_path / "outputs" / "default" / "gd")
    damaged = _run(tmp_path / "outputs" / "default" / "bfgs")
    (damaged / "manifest.json").write_text("{")
    assert runs_taken([]) == [folder.relative_to(tmp_path) for folder in (damaged, own, trial)]
