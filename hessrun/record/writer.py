"""Writes a run's folder: small files whole and atomically, rows appended and flushed."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from hessrun.record import schema
from hessrun.record.spectrum import Spectrum

_RESERVE_BYTES = 32768


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)


def _finite(value: Any) -> Any:
    """JSON knows no nan and no infinity: both become null. Containers are walked."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON; nan and infinities become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def clear(folder: Path) -> None:
    """Remove what an earlier run of the same configuration left, and nothing else.

    First what says that it is done; the trace is emptied, since a run without one cannot be read.
    """
    checkpoints = (schema.CHECKPOINT, schema.CHECKPOINT_PREVIOUS)
    for name in (schema.STATUS, schema.TRACE_PACKED, *checkpoints, schema.LOG):
        (folder / name).unlink(missing_ok=True)
    cut(folder, step=0, trace_bytes=0)


def cut(folder: Path, *, step: int, trace_bytes: int) -> None:
    """Bring a folder back to where nothing of `step` was recorded, its trace that long."""
    trace = folder / schema.TRACE
    if trace.exists():
        os.truncate(trace, trace_bytes)
    for name in (schema.SPECTRA, schema.POINTS):
        for path in (folder / name).glob("*.npz"):
            if path.stem.isdecimal() and int(path.stem) >= step:  # another name is not ours
                path.unlink()


class RunWriter:
    """The only writer of a run's folder, which it makes. Use as a context manager: rows are closed at every exit.

    Some bytes of disk are held in reserve, so that a full disk leaves room for the status that says so.
    """

    def __init__(self, folder: Path, *, config: str, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / schema.SPECTRA).mkdir(exist_ok=True)
        (folder / schema.POINTS).mkdir(exist_ok=True)
        write_atomically(folder / schema.CONFIG, config)
        self._reserve = folder / schema.RESERVE
        self._reserve.write_bytes(bytes(_RESERVE_BYTES))
        self._trace: TextIO = (folder / schema.TRACE).open("a", encoding="utf-8")
        # Last, since it makes the folder a run: one that a full disk or a kill leaves half-made is none.
        self._manifest = {"schema_version": schema.SCHEMA_VERSION} | dict(manifest)
        try:
            self._write_manifest()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the trace; may be called again."""
        self.make_room()
        with contextlib.suppress(OSError):  # the rest of a row that a full disk would not take
            self._trace.close()

    def make_room(self) -> None:
        """Give back the disk that was held in reserve."""
        with contextlib.suppress(OSError):  # a disk that has become read-only, or is gone
            self._reserve.unlink(missing_ok=True)
            (self.folder / schema.PARTIAL).unlink(missing_ok=True)

    def sync(self) -> int:
        """Wait until all rows are on the disk; the length of the trace in bytes."""
        os.fsync(self._trace.fileno())
        return self.trace_bytes

    @property
    def trace_bytes(self) -> int:
        """Length of the trace so far."""
        return os.fstat(self._trace.fileno()).st_size

    def warn(self, sentence: str) -> None:
        """Add a warning to the manifest."""
        self._manifest["warnings"] = [*self._manifest.get("warnings", []), sentence]
        self._write_manifest()

    def _write_manifest(self) -> None:
        write_atomically(self.folder / schema.MANIFEST, to_json(self._manifest, indent=2) + "\n")

    def row(self, row: Mapping[str, Any]) -> None:
        """Append one row to the trace and flush it."""
        self._trace.write(to_json(row) + "\n")
        self._trace.flush()

    def spectrum(self, spectrum: Spectrum, x: npt.NDArray[Any]) -> None:
        """Keep what a probe saw, and the vector that it saw, [n]."""
        partial = self.folder / schema.PARTIAL
        np.savez(partial, x=x)
        partial.replace(self.folder / schema.step_file(schema.POINTS, spectrum.step))
        spectrum.save(partial)
        partial.replace(self.folder / schema.step_file(schema.SPECTRA, spectrum.step))

    def status(self, *, state: str, status: str, reason: str, **facts: Any) -> None:
        """Say how the run stands: `state` for programs, `reason` for people, further facts beside them."""
        content = {"state": state, "status": status, "reason": reason} | facts
        write_atomically(self.folder / schema.STATUS, to_json(content, indent=2) + "\n")
