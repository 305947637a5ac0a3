"""Faults of disk, clock and folder: one cell says so, what it had recorded is readable, and the cells after it run."""

import errno
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_resume import Killed, cut_off, facts, job, the_run

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES
from hessrun.errors import RecordError
from hessrun.record import RunWriter, find_runs, read_run
from hessrun.record.lock import FolderLock, is_held
from hessrun.run import checkpoint, provenance

RUN = ["optimizer=sgd", "model=linear", "dataset.limit=120", "budget.iterations=6", "curvature=off", "progress=off"]
SEEDS = (0, 1, 2)


@pytest.fixture
def command(tmp_path, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """The command in an empty folder: exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(OUTCOMES, "found", [])
        monkeypatch.setattr(OUTCOMES, "expected", 0)
        monkeypatch.setattr(OUTCOMES, "stopped", "")
        capfd.readouterr()
        code = main(list(words))
        shown, told = capfd.readouterr()
        assert "Traceback" not in shown + told
        return code, shown, told

    return run


def sweep(command, *words: str) -> tuple[int, str, str]:
    return command("-m", *RUN, f"seed={','.join(map(str, SEEDS))}", *words)


def folder_of(seed: int) -> Path:
    (found,) = Path("outputs/default").glob(f"*-s{seed}-????????")
    return found


def states(shown: str) -> list[str]:
    return [line.split()[1] for line in shown.splitlines() if line.startswith(("sgd ", "sgd-"))]


def steps(seed: int) -> list[int]:
    return [row["step"] for row in read_run(folder_of(seed)).trace]


def fill(writer: RunWriter) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def close_for_writing(writer: RunWriter) -> None:
    """The file is there still, and takes nothing."""
    read_only = os.open(writer.folder / "trace.jsonl", os.O_RDONLY)
    os.dup2(read_only, writer._trace.fileno())
    os.close(read_only)


@pytest.mark.parametrize(
    ("fault", "named"), [(fill, "No space left on device"), (close_for_writing, "Bad file descriptor")]
)
def test_a_row_that_cannot_be_written_fails_its_cell_alone(command, monkeypatch, fault, named: str) -> None:
    write = RunWriter.row

    def row(self: RunWriter, values: dict) -> None:
        if "-s1-" in self.folder.name and values["step"] == 3:
            fault(self)
        write(self, values)

    monkeypatch.setattr(RunWriter, "row", row)
    code, shown, told = sweep(command)
    assert (code, states(shown)) == (1, ["finished", "failed", "finished"])
    assert named in told
    run = read_run(folder_of(1))
    assert (run.state, steps(1)) == ("failed", [0, 1, 2])
    assert named in run.status["reason"]
    assert steps(2) == list(range(7))
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("config.yaml", "a: [", "config.yaml: cannot be read"),
        ("config.yaml", "a: !!python/object/apply:os.mkdir [made]", "config.yaml: cannot be read"),
        ("manifest.json", "{", "manifest.json: damaged"),
        ("manifest.json", '{"schema_version": 999}', "written with schema 999"),
        ("status.json", "[]", "status.json: damaged"),
        ("trace.jsonl", 'x\n{"step": 1}\n', "line 1 is damaged"),
    ],
)
def test_a_damaged_record_is_named_and_left(command, name: str, content: str, named: str) -> None:
    assert sweep(command, "seed=1")[0] == 0
    damaged = folder_of(1) / name
    damaged.write_text(content)
    before = {
        path.name: path.read_bytes() for path in folder_of(1).iterdir() if path.is_file() and path.name != ".lock"
    }
    code, shown, told = sweep(command)
    assert (code, states(shown)) == (1, ["finished", "refused", "finished"])
    (line,) = told.splitlines()
    assert named in line
    assert "force=true" in line
    assert {path: (folder_of(1) / path).read_bytes() for path in before} == before
    assert not Path("made").exists()
    assert command("status")[0] == 1


def test_files_that_are_not_ours_are_kept_and_ignored(command) -> None:
    words = [*RUN, "seed=1", "curvature.kind=exact", "budget.iterations=4"]
    words.remove("curvature=off")
    assert command(*words)[0] == 0
    folder = folder_of(1)
    before = len(read_run(folder).spectra)
    for name in ("notes.txt", "spectra/mine.npz", "points/notes", "trace.csv", ".hidden"):
        (folder / name).write_text("mine")
    assert len(read_run(folder).spectra) == before
    (folder / "checkpoint.pt").unlink()
    (folder / "status.json").write_text(json.dumps({"state": "running", "status": "running", "reason": ""}))
    assert command(*words)[0] == 0  # anew
    assert read_run(folder).state == "finished"
    for name in ("notes.txt", "spectra/mine.npz", "points/notes", "trace.csv", ".hidden"):
        assert (folder / name).read_text() == "mine"


LINKED = ("", "trace.jsonl", "spectra", "status.json", ".lock")
ALSO_LINKED = ("config.yaml", "manifest.json.tmp", "checkpoint.pt.tmp", "points", "run.log", ".reserve", "partial.npz")


@pytest.mark.parametrize("name", [*LINKED, *(pytest.param(name, marks=pytest.mark.slow) for name in ALSO_LINKED)])
def test_a_link_is_not_written_through(command, tmp_path, name: str) -> None:
    assert sweep(command, "seed=1", "budget.iterations=2")[0] == 0
    folder, outside = folder_of(1), tmp_path / "outside"
    link = folder / name if name else folder
    if link.is_dir():
        link.rename(outside)
    else:
        outside.write_text(link.read_text() if link.exists() else "precious")
        link.unlink(missing_ok=True)
    link.symlink_to(outside)
    kept = {path: path.read_bytes() for path in [outside, *outside.rglob("*")] if path.is_file()}
    code, shown, told = sweep(command)
    assert (code, states(shown)) == (1, ["finished", "refused", "finished"])
    (line,) = told.splitlines()
    assert f"{link.relative_to(link.parents[len(link.parts) - 1])}: is a symbolic link" in line
    assert {path: path.read_bytes() for path in kept} == kept
    assert {path for path in [outside, *outside.rglob("*")] if path.is_file()} == set(kept)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ".."])
def test_an_experiment_stays_below_outputs(command, tmp_path, name: str) -> None:
    code, _, told = command(*RUN, f"experiment={name}")
    assert code == 2
    assert told == f"hessrun: experiment={name!r}: must stay below outputs: a name, or names with / between.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_link_is_the_users_choice(command, tmp_path) -> None:
    (tmp_path / "scratch").mkdir()
    Path("outputs").symlink_to(tmp_path / "scratch")
    assert command(*RUN, "experiment=a/b")[0] == 0
    assert len(find_runs([tmp_path / "scratch" / "a" / "b"])) == 1


def test_a_read_only_disk_is_one_line_a_cell(command, tmp_path) -> None:
    place = tmp_path / "outputs"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        place.chmod(0o500)
        if os.access(place, os.W_OK):
            pytest.skip("nothing can be made read-only here")
    try:
        code, shown, told = sweep(command)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(place)], check=True)
        place.chmod(0o700)
    assert code == 2
    assert states(shown) == ["refused"] * 3
    assert told.count("\n") == 3
    assert told.count("cannot be written to") == 3


def test_a_clock_that_is_set_back_changes_nothing_but_dates(tmp_path, monkeypatch) -> None:
    class Backwards(provenance.datetime):
        hours = 20

        @classmethod
        def now(cls, zone=None):
            cls.hours -= 1
            return super().now(zone).replace(hour=cls.hours)

    job(tmp_path / "whole", "lbfgs", "checkpoints.seconds=1e-4")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "datetime", Backwards)
        now = time.time()
        patch.setattr(time, "time", lambda: now - 3600)
        saved, save = [], checkpoint.save
        patch.setattr(checkpoint, "save", lambda *words: saved.append(1) or save(*words))
        job(tmp_path / "back", "lbfgs", "checkpoints.seconds=1e-4")
    run = the_run(tmp_path / "back")
    assert run.status["ended"] < run.status["started"]
    seconds = [row["seconds"] for row in run.trace]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    assert len(saved) > 1  # checkpoints fell due as ever, not at the end alone
    assert facts(run) == facts(the_run(tmp_path / "whole"))


# All of them are tried, some in CI.
ENDS = [("kill", "previous"), ("kill", "newest"), ("signal", "sync"), ("two signals", "newest")]
ALL_ENDS = itertools.product(("kill", "signal", "two signals"), ("write", "sync", "previous", "newest"))


@pytest.mark.parametrize(
    ("way", "moment"), [pytest.param(*end, marks=() if end in ENDS else pytest.mark.slow) for end in ALL_ENDS]
)
def test_what_ends_a_run_within_a_checkpoint_loses_nothing(tmp_path, monkeypatch, way: str, moment: str) -> None:
    """moment: before the state is written, before it is synchronised, and before either renaming."""
    job(tmp_path / "whole", "lbfgs")
    seen = []

    def strike() -> None:
        seen.append(moment)
        if len(seen) == 2:
            if way == "kill":
                raise Killed
            for _ in range(way.count(" ") + 1):
                os.kill(os.getpid(), signal.SIGTERM)

    def before(call: Callable, name: str) -> Callable:
        def struck(first, *rest, **named):
            is_now = moment == name or (name == "rename" and str(rest[0]).endswith(_NAMES.get(moment, "?")))
            if is_now:
                strike()
            return call(first, *rest, **named)

        return struck

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", before(torch.save, "write"))
        patch.setattr(checkpoint, "os", SimpleNamespace(fsync=before(os.fsync, "sync")))
        patch.setattr(Path, "replace", before(Path.replace, "rename"))
        if way == "signal":
            assert job(tmp_path / "cut", "lbfgs", "checkpoints.steps=3").exit_code == 143
        else:
            with pytest.raises(Killed if way == "kill" else KeyboardInterrupt):
                job(tmp_path / "cut", "lbfgs", "checkpoints.steps=3")
    folder = the_run(tmp_path / "cut").path
    assert not is_held(folder)
    assert job(tmp_path / "cut", "lbfgs").state == "finished"
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))
    assert not list(folder.glob("*.tmp"))


_NAMES = {"previous": "checkpoint.previous.pt", "newest": "checkpoint.pt"}


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("made",)


@pytest.mark.parametrize("both", [False, True])
def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch, capsys, both: bool) -> None:
    monkeypatch.chdir(tmp_path)
    job(tmp_path / "whole", "lbfgs")
    with monkeypatch.context() as patch:
        cut_off(patch, at_row=9, how="after")
        with pytest.raises(Killed):
            job(tmp_path / "cut", "lbfgs", "checkpoints.steps=2")
    folder = the_run(tmp_path / "cut").path
    torch.save({"loop": _Evil(), "x": _Evil()}, folder / "checkpoint.pt")
    if both:
        torch.save(_Evil(), folder / "checkpoint.previous.pt")
    with pytest.raises(RecordError, match="damaged") as caught:
        checkpoint.final_point(folder)
    assert "\n" not in str(caught.value)
    capsys.readouterr()
    job(tmp_path / "cut", "lbfgs")
    assert f"{folder / 'checkpoint.pt'}: damaged and not used" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert facts(the_run(tmp_path / "cut")) == facts(the_run(tmp_path / "whole"))


def test_a_lock_cannot_be_a_link(tmp_path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RecordError, match="is a symbolic link"):
        FolderLock(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_disk_that_is_gone_at_the_end_of_a_cell_leaves_the_next_ones(command, monkeypatch) -> None:
    write, unlink = RunWriter.row, Path.unlink

    def row(self: RunWriter, values: dict) -> None:
        if "-s1-" in self.folder.name and values["step"] == 3:
            raise OSError(errno.EROFS, "Read-only file system")
        write(self, values)

    def removed(self: Path, missing_ok: bool = False) -> None:
        if "-s1-" in str(self) and self.name == ".reserve":
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(self, missing_ok)

    monkeypatch.setattr(RunWriter, "row", row)
    monkeypatch.setattr(Path, "unlink", removed)
    code, shown, told = sweep(command)
    assert (code, states(shown)) == (1, ["finished", "failed", "finished"])
    assert "Read-only file system" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_checkpoint_on_a_full_disk_says_so_and_leaves_the_one_before(tmp_path) -> None:
    checkpoint.save(tmp_path, {"x": torch.zeros(3)})
    (tmp_path / "checkpoint.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(tmp_path, {"x": torch.zeros(100_000)})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["x"].shape == (3,)
