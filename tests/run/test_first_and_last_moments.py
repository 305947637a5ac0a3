"""Kills and full disks at a run's first and last moments, and what has changed between two commands."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from test_resume import Killed, configuration, facts, job, the_run

from hessrun.cli.job import run_job
from hessrun.cli.main import main
from hessrun.errors import RecordError
from hessrun.record import RunWriter, find_runs, read_run
from hessrun.run import checkpoint
from hessrun.run.recording import Recording


@pytest.mark.parametrize("kept", [pytest.param((), marks=pytest.mark.slow), ("checkpoints.keep_bytes=0",)])
@pytest.mark.parametrize("moment", ["gradient", "checkpoint", "status", pytest.param("after", marks=pytest.mark.slow)])
def test_a_kill_after_the_last_step_loses_nothing(tmp_path, monkeypatch, kept: tuple[str, ...], moment: str) -> None:
    """keep_bytes=0: what stays of the run at its end is its vector alone, from which nothing goes on."""
    job(tmp_path / "whole", "lbfgs", *kept)
    status, save, drop = RunWriter.status, checkpoint.save, checkpoint.drop_previous
    ended = []

    def kill(*_: object, **__: object) -> None:
        raise Killed

    def said(self: RunWriter, *, state: str, **rest: object) -> None:
        if state != "running" and moment == "status":
            raise Killed
        status(self, state=state, **rest)  # type: ignore[arg-type]

    def ending(self: Recording, outcome: object) -> None:
        ended.append(outcome)
        if moment == "gradient":
            self._reference_gradient = kill
        original(self, outcome)

    def saved(folder: Path, content: dict) -> None:
        save(folder, content)
        if ended and moment == "checkpoint":
            raise Killed

    original = Recording.ended
    with monkeypatch.context() as patch:
        patch.setattr(Recording, "ended", ending)
        patch.setattr(RunWriter, "status", said)
        patch.setattr(checkpoint, "save", saved)
        patch.setattr(checkpoint, "drop_previous", kill if moment == "after" else drop)
        with pytest.raises(Killed):
            job(tmp_path / "cut", "lbfgs", "checkpoints.steps=4", *kept)
    assert the_run(tmp_path / "cut").state == ("finished" if moment == "after" else "running")
    again = job(tmp_path / "cut", "lbfgs", "checkpoints.steps=4", *kept)
    assert again.state == ("skipped" if moment == "after" else "finished")
    run = the_run(tmp_path / "cut")
    assert facts(run) == facts(the_run(tmp_path / "whole"))
    if moment != "after":
        assert run.manifest["resumed"][-1]["step"] > 0  # it was not begun anew


def test_a_disk_that_is_full_while_the_folder_is_made_leaves_no_run_behind(tmp_path, monkeypatch) -> None:
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == ".reserve":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RecordError, match="No space left on device"):
            job(tmp_path / "runs", "lbfgs")
    with pytest.raises(RecordError, match="holds no run"):
        find_runs([tmp_path / "runs"])
    assert job(tmp_path / "runs", "lbfgs").state == "finished"


def test_a_kill_while_a_finished_run_is_begun_anew_does_not_leave_it_finished(tmp_path, monkeypatch) -> None:
    job(tmp_path / "whole", "bfgs")
    job(tmp_path / "cut", "bfgs", "budget.iterations=6", "checkpoints.keep_bytes=0")

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "__init__", killed)
        with pytest.raises(Killed):
            job(tmp_path / "cut", "bfgs")
    assert the_run_if_any(tmp_path / "cut") != "finished"
    assert job(tmp_path / "cut", "bfgs").state == "finished"
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))


def the_run_if_any(folder: Path) -> str:
    (path,) = {manifest.parent for manifest in folder.rglob("manifest.json")}
    status = path / "status.json"
    return "none" if not status.exists() else read_run(path).state


def test_a_forced_run_that_was_cut_off_goes_on_and_one_that_ended_stands(tmp_path, monkeypatch) -> None:
    job(tmp_path, "lbfgs")
    row = Recording.row

    def killing(self: Recording, values: dict) -> None:
        row(self, values)
        if values["step"] == 8:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "row", killing)
        with pytest.raises(Killed):
            job(tmp_path, "lbfgs", "force=true", "checkpoints.steps=3")
    assert job(tmp_path, "lbfgs", "force=true").state == "finished"
    first, beside = (read_run(path) for path in find_runs([tmp_path]))
    assert beside.path.name == f"{first.path.name}-r2"
    assert facts(first) == facts(beside)
    assert beside.manifest["resumed"][0]["step"] == 6
    assert job(tmp_path, "lbfgs", "force=true").state == "finished"
    assert [path.name[-3:] for path in find_runs([tmp_path])][1:] == ["-r2", "-r3"]


@pytest.mark.parametrize("why", ["failed", "damaged", "another rhythm"])
def test_a_forced_run_that_cannot_go_on_as_asked_is_left_for_a_new_one(tmp_path, monkeypatch, why: str) -> None:
    job(tmp_path, "lbfgs")
    row = Recording.row

    def ending(self: Recording, values: dict) -> None:
        row(self, values)
        if values["step"] == 8:
            raise ZeroDivisionError if why == "failed" else Killed

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "row", ending)
        if why == "failed":
            assert job(tmp_path, "lbfgs", "force=true").state == "failed"
        else:
            with pytest.raises(Killed):
                job(tmp_path, "lbfgs", "force=true", "checkpoints.steps=3")
    beside = find_runs([tmp_path])[1]
    if why == "damaged":
        (beside / "status.json").write_text("[]")
    words = ["log_every=2"] if why == "another rhythm" else []
    assert job(tmp_path, "lbfgs", "force=true", *words).state == "finished"
    assert (beside.parent / f"{beside.name[:-3]}-r3" / "trace.jsonl").exists()


def test_data_that_were_written_anew_are_not_taken_for_the_old(tmp_path, capsys) -> None:
    def write(seed: int) -> None:
        generator = np.random.default_rng(seed)
        np.save(tmp_path / "x.npy", generator.standard_normal((60, 4)))
        np.save(tmp_path / "y.npy", generator.integers(3, size=60))

    words = ["dataset=memory_mapped", f"dataset.inputs={tmp_path / 'x.npy'}", f"dataset.targets={tmp_path / 'y.npy'}"]
    words += ["model=linear", "optimizer=lbfgs", "budget.iterations=3", "progress=off"]

    def run(*more: str) -> str:
        return run_job(configuration(tmp_path / "runs", *words, *more), {"optimizer": "lbfgs"}).state

    write(0)
    assert run() == "finished"
    os.utime(tmp_path / "x.npy")
    assert run() == "skipped"
    write(1)
    with pytest.raises(RecordError, match=r"its data have changed since it ran: .* force=true") as caught:
        run()
    assert "\n" not in str(caught.value)
    assert run("force=true") == "finished"


def test_a_model_of_another_size_is_not_taken_for_the_old(tmp_path, monkeypatch) -> None:
    import sys

    package = tmp_path / "here"
    package.mkdir()
    monkeypatch.syspath_prepend(str(package))
    text = "from torch import nn\ndef net(input_shape, n_outputs):\n    return nn.Sequential(nn.Flatten(), {})\n"
    words = ["optimizer=lbfgs", "budget.iterations=2", "progress=off", "model._target_=own_net.net", "dataset.limit=60"]

    def run(layers: str) -> str:
        (package / "own_net.py").write_text(text.format(layers))
        sys.modules.pop("own_net", None)
        config = configuration(tmp_path / "runs", *words)
        config["model"] = {"_target_": "own_net.net"}
        return run_job(config, {"optimizer": "lbfgs"}).state

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert run("nn.Linear(64, n_outputs)") == "finished"
    with pytest.raises(RecordError, match="its model has changed, from 650 parameters to 3,"):
        run("nn.Linear(64, 50), nn.Linear(50, n_outputs)")


def test_weights_are_exported_whole_or_not_at_all(tmp_path, monkeypatch, capsys) -> None:
    job(tmp_path / "runs", "lbfgs")
    run, out = the_run(tmp_path / "runs").path, tmp_path / "weights.pt"
    assert main(["export", str(run), "--out", str(out)]) == 0
    before = out.read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", full)
        capsys.readouterr()
        assert main(["export", str(run), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"hessrun: --out {out}: cannot be written (No space left on device).\n"
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["weights.pt"]
    assert main(["compact", str(run), "--out", str(tmp_path / "small")]) == 0
    assert main(["export", str(tmp_path / "small" / run.name)]) == 2
    assert "is a compact record without weights" in capsys.readouterr().err
