"""The runs that a verb takes: those named, or where none is, one's own below outputs/."""

import json
from collections.abc import Sequence
from pathlib import Path

from hessrun.errors import RecordError
from hessrun.record import find_runs
from hessrun.record.schema import MANIFEST

_DEFAULT = Path("outputs")


def runs_taken(paths: Sequence[str | Path]) -> list[Path]:
    """`paths`; where there are none, all runs below outputs/, compact records alone where there are no others.

    A compact record is kept of a run that stands elsewhere, such as those of a study: beside one's own runs of the same
    problem it would be pooled with them. Raises RecordError where there is no such folder.
    """
    if paths:
        return [Path(path) for path in paths]
    if not _DEFAULT.is_dir():
        raise RecordError("outputs: there is no such folder; run something first, or name a folder of runs.")
    found = find_runs([_DEFAULT])
    own = [folder for folder in found if not _is_compact(folder)]
    return own if 0 < len(own) < len(found) else [_DEFAULT]


def _is_compact(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "compact" in manifest
