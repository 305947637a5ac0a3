"""Writes a run's folder: small files whole and atomically, rows appended and flushed."""

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


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary name beside `path`, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
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


class RunWriter:
    """The only writer of a run's folder, which it makes. Use as a context manager: rows are closed at every exit."""

    def __init__(self, folder: Path, *, config: str, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / schema.SPECTRA).mkdir(exist_ok=True)
        (folder / schema.POINTS).mkdir(exist_ok=True)
        write_atomically(folder / schema.CONFIG, config)
        full = {"schema_version": schema.SCHEMA_VERSION} | dict(manifest)
        write_atomically(folder / schema.MANIFEST, to_json(full, indent=2) + "\n")
        self._trace: TextIO = (folder / schema.TRACE).open("a", encoding="utf-8")

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the trace; may be called again."""
        self._trace.close()

    def row(self, row: Mapping[str, Any]) -> None:
        """Append one row to the trace and flush it."""
        self._trace.write(to_json(row) + "\n")
        self._trace.flush()

    def spectrum(self, spectrum: Spectrum, x: npt.NDArray[Any]) -> None:
        """Keep what a probe saw, and the vector that it saw, [n]."""
        spectrum.save(self.folder / schema.step_file(schema.SPECTRA, spectrum.step))
        np.savez(self.folder / schema.step_file(schema.POINTS, spectrum.step), x=x)

    def status(self, *, state: str, status: str, reason: str, **facts: Any) -> None:
        """Say how the run stands: `state` for programs, `reason` for people, further facts beside them."""
        content = {"state": state, "status": status, "reason": reason} | facts
        write_atomically(self.folder / schema.STATUS, to_json(content, indent=2) + "\n")
