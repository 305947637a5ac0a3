"""Who runs a folder's run, and who merely looks."""

import fcntl
import threading
from pathlib import Path

import pytest

from hessrun.errors import FolderTakenError
from hessrun.record.lock import FolderLock, is_held


def test_it_is_held_until_it_is_released(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    lock = FolderLock(tmp_path)
    assert is_held(tmp_path)
    with pytest.raises(FolderTakenError, match="is being run by process"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert not is_held(tmp_path)
    FolderLock(tmp_path).release()


def test_who_looks_whether_it_is_held_keeps_nobody_from_it(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open(encoding="utf-8") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path)  # another who looks is no holder
        done = threading.Timer(0.05, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        done.start()
        lock = FolderLock(tmp_path)
        done.join()
    assert is_held(tmp_path)
    lock.release()
