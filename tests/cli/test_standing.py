"""Runs that share a folder, fill a disk, or are asked how they stand."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessrun.cli.main import main
from hessrun.record import RunWriter, find_runs, read_run, read_runs
from hessrun.record.reader import read_trace

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
RUN = ["optimizer=lbfgs", "model=linear", "dataset.limit=150", "progress=off"]
ENDLESS = [*RUN, "budget.iterations=10000000", "budget.gradient_tolerance=null", "curvature=off", "optimizer=sgd"]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hessrun", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def wait_for(condition) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("n_processes", "seeds"), [(2, [0, 1]), pytest.param(8, list(range(8)), marks=pytest.mark.slow)]
)
def test_processes_on_the_same_sweep_run_each_cell_once(tmp_path: Path, n_processes: int, seeds: list[int]) -> None:
    sweep = ["-m", *RUN, "optimizer=lbfgs,sgd", f"seed={','.join(map(str, seeds))}", "budget.iterations=30"]
    processes = [start(tmp_path, *sweep) for _ in range(n_processes)]
    shown = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * n_processes, shown
    runs, problems = read_runs(find_runs([tmp_path / "outputs"]))
    assert (len(runs), problems) == (2 * len(seeds), [])
    for run in runs:
        assert [row["step"] for row in run.trace] == list(range(31))
    ran = Counter(
        line.split()[0]
        for out, _ in shown
        for line in out.splitlines()
        if len(line.split()) > 1 and "finished" in line and line.split()[1] == "finished"
    )
    assert set(ran.values()) == {1}
    assert len(ran) == 2 * len(seeds)


def test_status_tells_who_runs_and_who_was_cut_off(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert capsys.readouterr().err == (
        "hessrun: outputs: there is no such folder; run something first, or name a folder of runs.\n"
    )
    process = start(tmp_path, *ENDLESS)
    try:
        wait_for(lambda: list(tmp_path.rglob("manifest.json")))
        assert main(["status"]) == 0
        assert " running " in capsys.readouterr().out
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert main(["status", "outputs"]) == 0
    shown = capsys.readouterr().out
    assert " cut off " in shown
    assert "the same command goes on" in shown
    (folder,) = find_runs([tmp_path])
    (folder / "manifest.json").write_text("{")
    assert main(["status", "outputs"]) == 1
    assert "manifest.json: damaged" in capsys.readouterr().out


def test_status_watches_until_nothing_runs(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = start(tmp_path, *ENDLESS)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            process.kill()
            process.communicate()

    try:
        wait_for(lambda: [trace for trace in tmp_path.rglob("trace.jsonl") if trace.stat().st_size > 0])
        assert main(["status", "--watch"]) == 0  # no terminal: once
        assert "0% of at most 10,000,000 steps" in capsys.readouterr().out
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setattr("hessrun.cli.watching.time.sleep", sleep)
        assert main(["status", "outputs", "--watch", "0.5"]) == 0
    finally:
        process.kill()
        process.communicate()
    assert looks == [0.5, 0.5]
    shown = capsys.readouterr().out.split("\x1b[2J\x1b[H")[1:]
    assert [" running " in screen for screen in shown] == [True, True, False]
    assert " cut off " in shown[-1]


def test_status_lists_trials_of_tuning_after_the_runs(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, role in (("a/tuning/runs/trial", "tuning"), ("b/run", "reporting")):
        with RunWriter(tmp_path / "outputs" / name, config="seed: 0\n", manifest={"role": role}) as writer:
            writer.status(state="finished", status="converged", reason="Done.")
    assert main(["status"]) == 0
    _, first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("run ")
    assert second.startswith("tuning: trial ")


@pytest.mark.parametrize("words", ["--watch=0", "--watch=often", "--watch 0", "--watch=inf", "--watsh"])
def test_status_refuses_other_intervals(words: str, capsys) -> None:
    assert main(["status", *words.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_that_tells_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path, *ENDLESS)
    try:
        wait_for(lambda: [p for p in tmp_path.rglob("trace.jsonl") if p.stat().st_size > 2000])
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert told.endswith(f"to go on from here: hessrun {' '.join(ENDLESS)}\n")
    (folder,) = find_runs([tmp_path])
    run = read_run(folder)
    assert run.state == "interrupted"
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["loop"]["optimizer"]["step"] == run.trace[-1]["step"]


def test_a_signal_ends_a_whole_sweep(tmp_path: Path) -> None:
    words = ["-m", *ENDLESS, "seed=0,1"]
    process = start(tmp_path, *words)
    try:
        wait_for(lambda: [p for p in tmp_path.rglob("trace.jsonl") if p.stat().st_size > 2000])
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "2 cells: 1 interrupted, 1 not run" in shown
    assert told.endswith(f"to go on from here: hessrun {' '.join(words)}\n")
    assert len(find_runs([tmp_path])) == 1


def test_a_full_disk_ends_the_run_as_failed_with_its_rows(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        process = start(small, *ENDLESS)
        _, told = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "No space left on device" in told
        assert "Traceback" not in told
        (folder,) = find_runs([small])
        run = read_run(folder)
        assert run.state == "failed"
        assert "No space left" in run.status["reason"]
        assert [row["step"] for row in run.trace] == list(range(len(run.trace)))
        assert len(run.trace) > 20
        assert "Traceback" in (folder / "run.log").read_text()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    process = start(tmp_path, *RUN, "budget.iterations=2")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert told.count("\n") == 1
    assert "cannot be written to" in told


@settings(deadline=None)
@given(cut=st.integers(0, 120))
def test_a_trace_cut_anywhere_keeps_its_whole_rows(tmp_path_factory, cut: int) -> None:
    rows = [f'{{"step": {step}, "train_loss": {1 / (step + 1)}}}\n' for step in range(4)]
    text = "".join(rows)[:cut]
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    path.write_text(text)
    read = read_trace(path)
    assert len(read) in (text.count("\n"), text.count("\n") + 1)
    assert [row["step"] for row in read] == list(range(len(read)))
