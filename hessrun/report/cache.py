"""What a report has read of its runs, kept beside it: rows that have not changed are not read again."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hessrun.record.rows import Rows

_VERSION = 1
_INDEX, _ROWS = "index.json", "rows.npz"
_IGNORE = ".gitignore"


class Cache:
    """Rows by the trace's folder, size in bytes and time of change; a folder of arrays, without pickle."""

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {}

    @classmethod
    def read(cls, folder: Path) -> "Cache":
        """What `write` wrote; nothing of it where it is missing, damaged or of another version."""
        cache = cls()
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            if index["version"] != _VERSION:
                return cache
            with (folder / _ROWS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                for key, facts in index["rows"].items():
                    table = np.asarray(arrays[facts["array"]], dtype=float)
                    columns = dict(zip(facts["columns"], table, strict=True))
                    cache._rows[key] = Rows(columns, int(facts["count"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
            return cls()
        return cache

    def find(self, trace: Path) -> Rows | None:
        """The rows of a trace, if it is still the same file; else None."""
        key = _key(trace)
        return None if key is None else self._rows.get(key)

    def keep(self, trace: Path, rows: Rows) -> None:
        """Remember what was read of a trace."""
        key = _key(trace)
        if key is not None:
            self._rows[key] = rows

    def write(self, folder: Path) -> None:
        """Write what has been read into `folder`, which version control is told to leave out."""
        folder.mkdir()
        arrays: dict[str, Any] = {}
        index = {}
        for number, (key, rows) in enumerate(self._rows.items()):
            shape = (len(rows.columns), len(rows))
            arrays[str(number)] = np.array(list(rows.columns.values())).reshape(shape)
            index[key] = {"array": str(number), "columns": list(rows.columns), "count": len(rows)}
        np.savez(folder / _ROWS, **arrays)
        (folder / _INDEX).write_text(json.dumps({"version": _VERSION, "rows": index}), encoding="utf-8")
        (folder / _IGNORE).write_text("*\n", encoding="utf-8")


def _key(trace: Path) -> str | None:
    try:
        facts = trace.stat()
    except OSError:
        return None
    return f"{trace.parent.name}/{trace.name} {facts.st_size} {facts.st_mtime_ns}"
