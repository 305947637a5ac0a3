"""The runs that a verb takes: those named, or where none is, one's own below outputs/."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    found = {folder: _manifest(folder) for folder in find_runs([_DEFAULT])}
    own = {folder: manifest for folder, manifest in found.items() if "compact" not in manifest}
    has_results = any(manifest and manifest.get("role") != "tuning" for manifest in own.values())
    return list(own) if has_results and len(own) < len(found) else [_DEFAULT]


def _manifest(folder: Path) -> dict[str, Any]:
    """Empty where it cannot be read: whoever reads the run says so."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
