"""Runs that are cut off, and go on as if they had not been: bitwise, times aside, whatever the method."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hessrun.cli.app import register_sweeper
from hessrun.cli.job import run_job
from hessrun.record import RunWriter, find_runs, read_run
from hessrun.record.lock import FolderLock, is_held
from hessrun.record.writer import to_json
from hessrun.run.recording import Recording

OPTIMIZERS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml"))
SMALL = ["model=mlp", "model.hidden=[4]", "dataset.limit=120", "budget.iterations=14", "progress=off"]
STOCHASTIC = {"sgd": "optimizer.batch_size=40", "adam": "optimizer.batch_size=40"}


class Killed(BaseException):
    """What no code of a run may catch."""


def configuration(folder: Path, *words: str) -> dict:
    register_sweeper()
    with initialize_config_module("hessrun.conf", version_base="1.3"):
        config = compose("config", overrides=[*words, f"outputs={folder}"])
    return OmegaConf.to_container(config, resolve=True)


def job(folder: Path, name: str, *words: str):
    return run_job(configuration(folder, f"optimizer={name}", *SMALL, *words), {"optimizer": name})


def the_run(folder: Path):
    (path,) = find_runs([folder])
    return read_run(path)


def facts(run) -> tuple:
    """All that a run leaves, times aside."""
    rows = [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in run.trace]
    spectra = [
        (s.step, s.kind, s.eigenvalues.tobytes(), s.largest.tobytes(), s.smallest.tobytes(), s.negative)
        for s in run.spectra
    ]
    points = {p.name: np.load(p)["x"].tobytes() for p in (run.path / "points").glob("*.npz")}
    final = torch.load(run.path / "checkpoint.pt", weights_only=True)
    return to_json(rows), spectra, points, final["x"].numpy().tobytes(), final["best_x"].numpy().tobytes()


def cut_off(monkeypatch: pytest.MonkeyPatch, *, at_row: int, how: str) -> None:
    """The process dies at a row: before it, after it, or in the middle of writing it."""
    write, seen = RunWriter.row, []

    def row(self: RunWriter, values: dict) -> None:
        seen.append(values)
        if len(seen) == at_row and how != "after":
            if how == "within":
                self._trace.write(to_json(values)[:30])
            raise Killed
        write(self, values)
        if len(seen) == at_row:
            raise Killed

    monkeypatch.setattr(RunWriter, "row", row)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_was_cut_off_goes_on_bitwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    words = [STOCHASTIC[name]] if name in STOCHASTIC else []
    job(tmp_path / "whole", name, *words)
    number = OPTIMIZERS.index(name)
    with monkeypatch.context() as patch:
        cut_off(patch, at_row=5 + number % 6, how=("before", "within", "after")[number % 3])
        with pytest.raises(Killed):
            job(tmp_path / "cut", name, *words, "checkpoints.steps=3")
    assert the_run(tmp_path / "cut").state == "running"
    again = job(tmp_path / "cut", name, *words, "checkpoints.steps=3")
    whole, cut = the_run(tmp_path / "whole"), the_run(tmp_path / "cut")
    assert again.state == whole.state
    assert facts(cut) == facts(whole)
    (resumed,) = cut.manifest["resumed"]
    assert resumed["step"] % 3 == 0


@pytest.mark.parametrize(("log_every", "every"), [(1, 2), (5, 2), (7, 4)])
def test_what_merely_interrupts_a_stretch_leaves_no_trace(tmp_path, monkeypatch, log_every: int, every: int) -> None:
    words = [f"log_every={log_every}", "curvature.schedule=every", "curvature.every=6"]
    job(tmp_path / "whole", "sgd", *words)
    with monkeypatch.context() as patch:
        cut_off(patch, at_row=2, how="after")
        with pytest.raises(Killed):
            job(tmp_path / "cut", "sgd", *words, f"checkpoints.steps={every}")
    job(tmp_path / "cut", "sgd", *words, f"checkpoints.steps={every}")
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))


@pytest.mark.parametrize("name", ["newton", "lbfgs", "adam", "newton_cg"])
def test_a_larger_budget_extends_a_finished_run(tmp_path: Path, name: str) -> None:
    job(tmp_path / "whole", name)
    job(tmp_path / "grown", name, "budget.iterations=6")
    short = the_run(tmp_path / "grown")
    assert [row["step"] for row in short.trace] == list(range(7))
    assert job(tmp_path / "grown", name, "budget.iterations=5").state == "skipped"
    assert job(tmp_path / "grown", name).state == "finished"
    assert facts(the_run(tmp_path / "grown")) == facts(the_run(tmp_path / "whole"))
    assert job(tmp_path / "grown", name).state == "skipped"


def test_a_run_goes_on_with_the_rows_and_spectra_that_it_was_begun_with(tmp_path: Path, monkeypatch, capsys) -> None:
    mine = ["log_every=2", "curvature.schedule=every", "curvature.every=4", "checkpoints.steps=3"]
    job(tmp_path / "whole", "lbfgs", *mine)
    with monkeypatch.context() as patch:
        cut_off(patch, at_row=4, how="after")
        with pytest.raises(Killed):
            job(tmp_path / "cut", "lbfgs", *mine)
    capsys.readouterr()
    assert job(tmp_path / "cut", "lbfgs", "log_every=3", "curvature=off").state == "finished"
    assert "goes on with the log_every and curvature that it was begun with" in capsys.readouterr().err
    run = the_run(tmp_path / "cut")
    assert facts(run) == facts(the_run(tmp_path / "whole"))
    assert (run.config["log_every"], run.config["curvature"]["every"]) == (2, 4)
    # Anew, it is as the command says.
    assert job(tmp_path / "cut", "lbfgs", "log_every=3", "curvature=off", "force=true").state == "finished"
    (beside,) = [read_run(path) for path in find_runs([tmp_path / "cut"]) if path.name.endswith("-r2")]
    assert [row["step"] for row in beside.trace] == [0, 3, 6, 9, 12, 14]
    assert beside.spectra == []


def test_a_state_too_large_to_keep_is_dropped_and_a_larger_budget_starts_anew(tmp_path: Path, capsys) -> None:
    job(tmp_path / "whole", "bfgs")
    job(tmp_path / "grown", "bfgs", "budget.iterations=6", "checkpoints.keep_bytes=1000")
    assert "loop" not in torch.load(the_run(tmp_path / "grown").path / "checkpoint.pt", weights_only=True)
    job(tmp_path / "grown", "bfgs")
    assert "starting anew, since its state was too large to keep" in capsys.readouterr().err
    assert facts(the_run(tmp_path / "grown")) == facts(the_run(tmp_path / "whole"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_bitwise(tmp_path: Path, monkeypatch, capsys, number: int) -> None:
    job(tmp_path / "whole", "lbfgs")
    row = Recording.row

    def interrupting(self: Recording, values: dict) -> None:
        row(self, values)
        if values["step"] == 8:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "row", interrupting)
        ended = job(tmp_path / "cut", "lbfgs")
    assert (ended.state, ended.exit_code) == ("interrupted", 128 + number)
    assert "to go on from here: hessrun " in capsys.readouterr().err
    assert job(tmp_path / "cut", "lbfgs").state == "finished"
    assert "going on from step 8" in capsys.readouterr().err
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "both"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, monkeypatch, capsys, damage: str) -> None:
    job(tmp_path / "whole", "bfgs")
    with monkeypatch.context() as patch:
        cut_off(patch, at_row=12, how="after")
        with pytest.raises(Killed):
            job(tmp_path / "cut", "bfgs", "checkpoints.steps=3")
    folder = the_run(tmp_path / "cut").path
    newest = folder / "checkpoint.pt"
    content = newest.read_bytes()
    x = torch.load(newest, weights_only=True)["loop"]["optimizer"]["x"].numpy().tobytes()
    where = content.index(x) + 100
    broken = {
        "cut": content[:-2000],
        "flip": content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :],
        "empty": b"",
        "both": content[:300],
    }[damage]
    newest.write_bytes(broken)
    if damage == "both":
        (folder / "checkpoint.previous.pt").write_bytes(b"nothing")
    capsys.readouterr()
    job(tmp_path / "cut", "bfgs")
    told = capsys.readouterr().err
    assert f"{newest}: damaged and not used" in told
    assert ("starting anew" if damage == "both" else "going on from step 6") in told
    run = the_run(tmp_path / "cut")
    assert facts(run) == facts(the_run(tmp_path / "whole"))
    assert any("damaged and not used" in warning for warning in run.manifest["warnings"])


def test_a_folder_of_another_configuration_and_a_damaged_record_are_refused(tmp_path: Path) -> None:
    job(tmp_path, "lbfgs", "budget.iterations=2")
    run = the_run(tmp_path)
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(config.replace("\nseed: 0", "\nseed: 1", 1))
    with pytest.raises(Exception, match=r"another configuration \(seed\)"):
        job(tmp_path, "lbfgs")
    (run.path / "config.yaml").write_text(config)
    trace = (run.path / "trace.jsonl").read_text()
    (run.path / "trace.jsonl").write_text("garbage\n" + trace)
    with pytest.raises(Exception, match="line 1 is damaged"):
        job(tmp_path, "lbfgs")
    assert (run.path / "trace.jsonl").read_text() == "garbage\n" + trace
    assert not is_held(run.path)


def test_a_folder_that_is_held_is_left_alone(tmp_path: Path, capsys) -> None:
    job(tmp_path, "lbfgs", "budget.iterations=2")
    run = the_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    code = f"import sys, time; from pathlib import Path; from hessrun.record.lock import FolderLock; \
lock = FolderLock(Path({str(run.path)!r})); print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert is_held(run.path)
        ended = job(tmp_path, "lbfgs")
        assert (ended.state, ended.exit_code) == ("skipped", 0)
        assert f"process {other.pid}" in ended.line
    finally:
        other.kill()
        other.wait()
    assert other.stdout.close() is None
    assert {path: path.stat().st_mtime_ns for path in before if path.name != ".lock"} == {
        path: at for path, at in before.items() if path.name != ".lock"
    }
    FolderLock(run.path).release()
    assert job(tmp_path, "lbfgs").state == "finished"


def killed_at_random(folder: Path, words: list[str], after: float) -> bool:
    """Whether a run of the command, killed that many seconds after its first row, was killed indeed."""
    command = [sys.executable, "-m", "hessrun", *words, f"outputs={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(folder.rglob("trace.jsonl")):
        time.sleep(0.02)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def kill_and_compare(tmp_path: Path, name: str, seed: int, kills: int) -> None:
    generator = np.random.default_rng(seed)
    words = [f"optimizer={name}", f"seed={seed}", *SMALL[:-2], "budget.iterations=400", "progress=off"]
    words += ["budget.gradient_tolerance=null", "checkpoints.steps=20", "threads=1"]
    subprocess.run(
        [sys.executable, "-m", "hessrun", *words, f"outputs={tmp_path / 'whole'}"], check=True, capture_output=True
    )
    for _ in range(kills):
        killed_at_random(tmp_path / "cut", words, float(generator.uniform(0.0, 1.5)))
    subprocess.run(
        [sys.executable, "-m", "hessrun", *words, f"outputs={tmp_path / 'cut'}"], check=True, capture_output=True
    )
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_a_process_killed_at_a_random_moment_loses_nothing(tmp_path: Path, name: str) -> None:
    kill_and_compare(tmp_path, name, seed=3, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_kills_over_all_methods_lose_nothing(tmp_path: Path, name: str) -> None:
    kill_and_compare(tmp_path, name, seed=OPTIMIZERS.index(name), kills=-(-100 // len(OPTIMIZERS)))
