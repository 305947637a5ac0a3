"""The folder that a report is: written whole or not at all, and never in the place of what is not a report."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hessrun.errors import RecordError

MARKER = "report.json"
CACHE = ".cache"
WRITE_UP = "write-up.md"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_OWN = frozenset({MARKER, "report.md", "report.html", "claims.json", WRITE_UP, "figures", "tables", CACHE})


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of `out` once all is written into it, and is gone if anything fails."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise RecordError(f"{out}: cannot be written ({error.strerror}); give another folder.") from None
    try:
        yield work
        work.chmod(0o777 & ~_umask())
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise RecordError(
            f"{out}: cannot be written ({error.strerror}); free some disk or give another folder."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_foreign(out: Path) -> None:
    """Raise RecordError where `out` is there and holds anything but an earlier report."""
    if out.exists() and not out.is_dir():
        raise RecordError(f"{out}: is a file; give a folder for the report.")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        content = json.loads((out / MARKER).read_text(encoding="utf-8"))
        ours = isinstance(content, dict) and "hessrun_report" in content
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise RecordError(f"{out}: is not empty and holds no earlier report; give another folder or empty it.")
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _OWN)
    if foreign:
        raise RecordError(f"{out}: holds {foreign[0]} beside an earlier report; move it or give another folder.")
