"""Reads runs back: `read_run(folder)` and `find_runs(paths)`. Needs no torch."""

import gzip
import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hessrun.errors import RecordError
from hessrun.record import schema
from hessrun.record.spectrum import Spectrum

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """One run, read from its folder. Spectra are read when they are asked for.

    config: the resolved configuration; manifest, status: the JSON files of that name (schema.py).
    trace: the rows as dictionaries, null read as nan.
    """

    path: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    status: dict[str, Any]
    trace: Sequence[dict[str, Any]]

    @cached_property
    def rows(self) -> "pd.DataFrame":
        """The trace as a DataFrame, one row per recorded step."""
        import pandas as pd

        return pd.DataFrame(list(self.trace))

    @cached_property
    def spectra(self) -> list[Spectrum]:
        """The spectra in the order of their steps; a damaged one is named in a warning and left out."""
        found = []
        for path in sorted((self.path / schema.SPECTRA).glob("*.npz")):
            if not path.stem.isdecimal():  # somebody else's
                continue
            try:
                found.append(Spectrum.load(path))
            except RecordError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
        return found

    @property
    def state(self) -> str:
        """running, finished, diverged, failed or interrupted (`hessrun.status.RunState`)."""
        return str(self.status.get("state", "running"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path.parent}: holds no run ({path.name} is missing).") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: damaged ({error}).") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: damaged (not a JSON object).")
    return content


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def trace_file(folder: Path) -> Path:
    """Where a run's rows are: trace.jsonl, or trace.jsonl.gz of a compact record, which has no other."""
    plain, packed = folder / schema.TRACE, folder / schema.TRACE_PACKED
    return packed if packed.exists() and not plain.exists() else plain


def _trace_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        unpacked = gzip.decompress(content) if path.name == schema.TRACE_PACKED else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordError(f"{path}: damaged ({error}).") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}).") from None
    return unpacked.decode("utf-8", errors="replace")


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The rows of a trace, packed or not.

    A torn last line is dropped; any other damage raises RecordError with its line.
    """
    lines = _trace_text(path).split("\n")
    try:
        rows = json.loads(f"[{','.join(line for line in lines if line)}]")
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("not JSON objects")
    except ValueError:
        rows = _whole_rows(path, lines)
    return [row if None not in row.values() else {k: _number(v) for k, v in row.items()} for row in rows]


def _whole_rows(path: Path, lines: Sequence[str]) -> list[dict[str, Any]]:
    """The rows one by one: which of them is damaged, or that the last one is torn."""
    rows = []
    for index, line in enumerate(lines):
        if not line:
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
        except ValueError as error:
            if index == len(lines) - 1:
                break
            raise RecordError(f"{path}: line {index + 1} is damaged ({error}).") from None
        rows.append(row)
    return rows


def read_run(folder: str | Path, *, rows: Callable[[Path], Sequence[dict[str, Any]]] = read_trace) -> Run:
    """Read a run's folder. rows: what reads its trace.

    Raises RecordError where it holds no run, a damaged one, or one of a newer schema.
    """
    folder = Path(folder)
    manifest = _read_json(folder / schema.MANIFEST)
    version = manifest.get("schema_version")
    if not isinstance(version, int):
        raise RecordError(f"{folder / schema.MANIFEST}: not a manifest of hessrun (no schema_version).")
    if version > schema.SCHEMA_VERSION:
        raise RecordError(
            f"{folder}: written with schema {version}, this one reads up to {schema.SCHEMA_VERSION}: update hessrun."
        )
    status = folder / schema.STATUS
    return Run(
        path=folder,
        config=_read_config(folder / schema.CONFIG),
        manifest=manifest,
        status=_read_json(status) if status.exists() else {},
        trace=rows(trace_file(folder)),
    )


def _read_config(path: Path) -> dict[str, Any]:
    import yaml

    try:
        # The C loader, where PyYAML has one, takes a tenth of the time; it builds plain values alone, too.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path}: cannot be read ({reason}).") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: damaged (not a mapping).")
    return content


def _is_hidden(manifest: Path, path: Path) -> bool:
    """It lies in a folder that is being written, or that whoever wrote it left half-done: `.name-xxxx` below `path`."""
    return any(part.startswith(".") for part in manifest.relative_to(path).parts)


def find_runs(paths: Iterable[str | Path]) -> list[Path]:
    """The folders of all runs at or below `paths`, sorted.

    Raises RecordError where a path does not exist or holds no run at all.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise RecordError(f"{path}: there is no such folder.")
        here = {manifest.parent for manifest in path.rglob(schema.MANIFEST) if not _is_hidden(manifest, path)}
        if not here:
            raise RecordError(f"{path}: holds no run (no {schema.MANIFEST} at or below it).")
        found |= here
    return sorted(found)


def read_runs(
    folders: Sequence[Path], *, rows: Callable[[Path], Sequence[dict[str, Any]]] = read_trace
) -> tuple[list[Run], list[str]]:
    """Read many runs: those that can be read, and one line for each that cannot. rows: what reads their traces."""
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder, rows=rows))
        except RecordError as error:
            problems.append(str(error))
    return runs, problems
