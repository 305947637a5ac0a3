"""The command over two ranks: one record, one voice, and an end that all of them come to."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from crew import Crew

from hessrun import ranks
from hessrun.optimizers import SGD, State
from hessrun.problems import Problem
from hessrun.record import Run, find_runs, read_run
from hessrun.record.lock import is_held
from hessrun.record.writer import to_json

SMALL = ["dataset=wine", "model.hidden=[4]", "curvature=off", "progress=off"]
SLOW = ["optimizer=gd", "optimizer.lr=0.01", "budget.gradient_tolerance=null", "checkpoints.steps=5"]


@dataclass(frozen=True)
class Fails(SGD):
    """Gradient descent, until a rank fails in its fourth step."""

    on_rank: int | None = None

    def step(self, problem: Problem, state: State) -> State:
        if state.step == 3 and self.on_rank in (None, ranks.rank()):
            raise ValueError("this one had enough")
        return super().step(problem, state)


def _command(words: list[str]) -> tuple[int, str]:
    """The exit code, and what was printed."""
    from hessrun.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


@contextlib.contextmanager
def crew_of(size: int) -> Iterator[Crew]:
    made = Crew(size)
    try:
        yield made
    finally:
        made.close()


def run(size: int, folder: Path, *words: str) -> list[tuple[int, str]]:
    with crew_of(size) as crew:
        found: list[tuple[int, str]] = crew(_command, [*words, *SMALL, f"outputs={folder}"])
    return found


def the_run(folder: Path) -> Run:
    (path,) = find_runs([folder])
    return read_run(path)


def rows(found: Run) -> list[dict[str, Any]]:
    """Without the times."""
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in found.trace]


def wait_for_rows(folder: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        traces = list(folder.glob("**/trace.jsonl"))
        if traces and len(traces[0].read_bytes().splitlines()) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError(f"no {count} rows in {folder}")


def test_the_record_is_that_of_one_process(tmp_path: Path) -> None:
    words = ["optimizer=lbfgs", "budget.iterations=8", "curvature.kind=exact"]
    (code, _), *_ = run(1, tmp_path / "one", *words)
    (first, said), (second, silence) = run(2, tmp_path / "two", *words)
    assert (code, first, second, silence) == (0, 0, 0, "")
    assert "ended" in said
    one, two = the_run(tmp_path / "one"), the_run(tmp_path / "two")
    assert one.path.name == two.path.name
    assert (one.manifest["ranks"], two.manifest["ranks"]) == (1, 2)
    assert two.manifest["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
    assert one.manifest["problem"] == two.manifest["problem"]
    for mine, theirs in zip(rows(one), rows(two), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(theirs[key] == pytest.approx(value, rel=1e-8, nan_ok=True) for key, value in mine.items())
    for here, there in zip(one.spectra, two.spectra, strict=True):
        assert there.eigenvalues == pytest.approx(here.eigenvalues, rel=1e-8, abs=1e-10)
    (again, told), (also, _) = run(2, tmp_path / "two", *words)
    assert (again, also) == (0, 0)
    assert told.startswith("hessrun: already finished")


def test_a_budget_in_seconds_ends_all_ranks_at_one_step(tmp_path: Path) -> None:
    words = [*SLOW, "budget.iterations=null", "budget.seconds=0.3", "log_every=7"]
    assert [code for code, _ in run(2, tmp_path, *words)] == [0, 0]
    assert the_run(tmp_path).status["status"] == "seconds_spent"


@pytest.mark.parametrize("sent_to", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_signal_to_one_rank_ends_all_and_the_run_goes_on_bitwise(tmp_path: Path, sent_to: int) -> None:
    words = [*SMALL, *SLOW, "budget.iterations=120"]
    with crew_of(2) as crew:
        crew.begin(_command, [*words, f"outputs={tmp_path / 'cut'}"])
        wait_for_rows(tmp_path / "cut", 10)
        os.kill(crew.processes[sent_to].pid, signal.SIGTERM)
        (first, said), (second, _) = crew.results()
    assert (first, second) == (143, 143)
    assert "to go on from here" in said
    cut = the_run(tmp_path / "cut")
    assert cut.status["state"] == "interrupted"
    assert 10 <= len(cut.trace) < 120
    for folder in ("cut", "whole"):
        assert [code for code, _ in run(2, tmp_path / folder, *SLOW, "budget.iterations=120")] == [0, 0]
    resumed, whole = the_run(tmp_path / "cut"), the_run(tmp_path / "whole")
    assert to_json(rows(resumed)) == to_json(rows(whole))
    ends = [torch.load(found.path / "checkpoint.pt", weights_only=True)["x"] for found in (resumed, whole)]
    assert torch.equal(*ends)


def _command_elsewhere(words: list[str], folder: Path) -> tuple[int, str]:
    """Each rank in a folder of its own, as on machines that share no disk."""
    own = folder / str(ranks.place().rank)
    own.mkdir(exist_ok=True)
    os.chdir(own)
    return _command(words)


def test_a_run_goes_on_where_the_first_rank_alone_sees_its_folder(tmp_path: Path) -> None:
    for size, words in ((1, ["budget.iterations=4", "log_every=2"]), (2, ["budget.iterations=9", "log_every=3"])):
        with crew_of(size) as crew:
            found = crew(_command_elsewhere, [*SMALL, *SLOW, *words], tmp_path)
        assert [code for code, _ in found] == [0] * size
    assert "goes on with the log_every that it was begun with" in found[0][1]
    assert [row["step"] for row in the_run(tmp_path / "0").trace] == [0, 2, 4, 6, 8, 9]
    assert list((tmp_path / "1").iterdir()) == []


@pytest.mark.parametrize("killed", [0, 1])
def test_a_rank_that_is_killed_ends_the_others(tmp_path: Path, killed: int) -> None:
    with crew_of(2) as crew:
        crew.begin(_command, [*SMALL, *SLOW, "budget.iterations=100000", f"outputs={tmp_path}"])
        wait_for_rows(tmp_path, 12)
        crew.processes[killed].kill()
        code, _ = crew.results()[1 - killed]
    assert code == 1
    found = the_run(tmp_path)
    if killed == 1:
        assert found.status["state"] == "failed"
        assert "another of the 2 ranks has ended" in found.status["reason"]
    else:
        assert found.status["state"] == "running"
    assert not is_held(found.path)
    (again, _), *_ = run(1, tmp_path, *SLOW, f"budget.iterations={len(found.trace) + 5}")
    assert again == 0
    assert the_run(tmp_path).manifest["resumed"][0]["step"] >= 5


@pytest.mark.parametrize("on_rank", [*(pytest.param(rank, marks=pytest.mark.slow) for rank in (0, 1)), "null"])
def test_a_rank_that_raises_ends_the_others_who_say_why(tmp_path: Path, on_rank: int | str) -> None:
    words = ["optimizer=gd", "optimizer._target_=test_commands.Fails", f"+optimizer.on_rank={on_rank}"]
    found = run(2, tmp_path, *words, "budget.iterations=9")
    assert [code for code, _ in found] == [1, 1]
    ended = the_run(tmp_path)
    assert (ended.status["state"], len(ended.trace)) == ("failed", 4)
    assert "ValueError: this one had enough" in ended.status["reason"]
    assert "Traceback" in (ended.path / "run.log").read_text()
    assert len(found[0][1].splitlines()) == 1


def test_a_rank_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with crew_of(2) as crew:
        words = [*SMALL, *SLOW, "budget.iterations=100000", "rank_timeout=2", f"outputs={tmp_path}"]
        crew.begin(_command, words)
        wait_for_rows(tmp_path, 5)
        os.kill(crew.processes[1].pid, signal.SIGSTOP)
        until = time.monotonic() + 30
        while the_run(tmp_path).status["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        crew.processes[1].kill()
        (code, said), _ = crew.results()
    assert code == 1
    assert "has not answered for 2 s" in said
    assert the_run(tmp_path).status["state"] == "failed"


def test_a_sweep_goes_through_its_cells_together(tmp_path: Path) -> None:
    words = ["-m", "optimizer=gd,lbfgs", "seed=0,1", "budget.iterations=3"]
    (code, said), (other, silence) = run(2, tmp_path, *words)
    assert (code, other, silence) == (0, 0, "")
    assert "4 cells: 4 finished" in said
    assert {read_run(path).manifest["ranks"] for path in find_runs([tmp_path])} == {2}


@pytest.mark.parametrize(
    ("on_rank", "told"), [("1", ["1 failed", "2 not run"]), pytest.param("null", ["3 failed"], marks=pytest.mark.slow)]
)
def test_a_sweep_ends_where_the_ranks_part_and_goes_on_where_all_fail_alike(
    tmp_path: Path, on_rank: str, told: list[str]
) -> None:
    words = ["-m", "optimizer=gd", "optimizer._target_=test_commands.Fails", f"+optimizer.on_rank={on_rank}"]
    (code, said), (other, _) = run(2, tmp_path, *words, "seed=0,1,2", "budget.iterations=9")
    assert (code, other) == (1, 1)
    assert all(part in said for part in told), said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report"], "hessrun report is for one process: give the command without torchrun."),
        pytest.param(*(["optimizer=lbgfs"], "optimizer=lbgfs: there is none"), marks=pytest.mark.slow),
        (["dataset=wine", "dataset.limit=1"], "each of 2 ranks needs an example, and there are 1"),
        (["-m", "seed=0,1", "hydra/launcher=joblib"], "several ranks run a sweep's cells one after the other"),
        pytest.param(*(["rank_timeout=0"], "rank_timeout=0: must be a finite number above 0"), marks=pytest.mark.slow),
    ],
)
def test_wrong_words_are_refused_by_one_voice(tmp_path: Path, words: list[str], told: str) -> None:
    with crew_of(2) as crew:
        (code, said), (other, silence) = crew(
            _command, words if words == ["report"] else [*words, f"outputs={tmp_path}"]
        )
    assert (code, other, silence) == (2, 2, "")
    assert told in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_suite_that_is_not_tuned_is_for_one_process_first(tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "base: [dataset=wine]\ncells: [{optimizer: gd, search_space: {lr: {low: 0.1, high: 1.0}}}]\n"
        "tuning: {trials: 2, seeds: [1000]}\n"
    )
    with crew_of(2) as crew:
        (code, said), (other, silence) = crew(_command, ["suite", str(suite), f"outputs={tmp_path / 'outputs'}"])
    assert (code, other, silence) == (2, 2, "")
    assert "has to be tuned first, by one process" in said
    assert not (tmp_path / "outputs").exists()


def _interrupted_alone(words: list[str]) -> tuple[int, str]:
    """The second rank is interrupted where the first one waits for it."""
    if ranks.place().rank == 1:
        from hessrun.cli import job

        def build(*_: object) -> None:
            raise KeyboardInterrupt

        job.build = build
    return _command(words)


def test_a_rank_that_is_interrupted_before_a_run_ends_the_others(tmp_path: Path) -> None:
    with crew_of(2) as crew:
        (code, said), (other, _) = crew(_interrupted_alone, [*SMALL, f"outputs={tmp_path}"])
    assert (code, other) == (1, 130)
    assert "rank 1: interrupted" in said


@pytest.mark.slow
def test_torchrun_itself(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=3", "-m", "hessrun", *SMALL]
    done = subprocess.run(
        [*words, "optimizer=newton", "budget.iterations=3", "curvature=exact", f"outputs={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = the_run(tmp_path)
    assert (found.manifest["ranks"], found.status["state"]) == (3, "finished")
    assert json.loads((found.path / "status.json").read_text())["steps"] == 3
