"""An exclusive lock on a run's folder, which the kernel releases when its process ends, however it ends.

`flock` on the file `.lock`; the file names the holder for people, and is never removed: a process that waits to open it
could otherwise lock a file that has no name any more. Network file systems may not honour `flock` between machines.
"""

import contextlib
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hessrun.errors import FolderTakenError, RecordError
from hessrun.record.links import refuse_links
from hessrun.record.schema import LOCK

try:
    import fcntl
except ImportError:  # no POSIX system: runs are not kept apart there
    fcntl = None  # type: ignore[assignment]

# Seconds: who merely looks whether it is held holds it for far less.
_PATIENCE = 0.2


class FolderLock:
    """Held from its making to `release`, or to the end of the process.

    Raises FolderTakenError where another process holds it, naming that one; RecordError where the folder cannot be
    written to, or something in it is a symbolic link that a run would write through.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] | None = None
        refuse_links(folder)
        try:
            file = (folder / LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise RecordError(f"{folder}: cannot be written to ({error.strerror}).") from None
        try:
            _lock(file)
        except BlockingIOError:
            holder = _read(file)
            file.close()
            raise FolderTakenError(f"{folder}: is being run by {holder or 'another process'}.") from None
        except OSError:  # a file system without locks: nothing keeps runs apart there
            pass
        self._file = file
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {_now()}\n")
            file.flush()
        except OSError:  # a full disk: the lock holds all the same, nameless
            pass

    def release(self) -> None:
        """Let others have the folder; may be called again."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what a full disk would not take
                self._file.close()
            self._file = None


def is_held(folder: Path) -> bool:
    """Some process, this one included, runs this folder's run now."""
    path = folder / LOCK
    if fcntl is None or not path.exists():
        return False
    try:
        with path.open(encoding="utf-8") as file:
            # Shared, so that two who look do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(file: IO[str]) -> None:
    """Raises BlockingIOError where another process holds it, and not only looks whether it is held."""
    until = time.monotonic() + _PATIENCE
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(_PATIENCE / 20)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(file: IO[str]) -> str:
    try:
        file.seek(0)
        return file.read(500).strip()
    except (OSError, ValueError):
        return ""
