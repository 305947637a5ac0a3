"""Numbers in a .npy file that is mapped into memory: what is read takes memory, not what the file holds."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Rows

# The kernel maps up to 64 KiB around a row that is touched; this many rows may stay mapped, 64 MiB.
_ROWS = 1024


class MappedArray:
    """[N, ...] real numbers in a .npy file, read by row.

    Nothing in the file is run: its header is parsed as a literal, and arrays of objects are refused.
    option: what the file was given as, for messages.
    Raises DataError for a file that is missing, truncated or of another kind.
    """

    def __init__(self, path: str, option: str) -> None:
        place = Path(path).expanduser()
        if not place.is_file():
            raise DataError(f"{option}={path}: no such file; give a .npy file, as numpy.save writes it.")
        try:
            self._array = np.lib.format.open_memmap(place, mode="r")
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{option}={path}: no .npy file of numbers, or truncated ({reason}); write it anew with numpy.save."
            ) from None
        if self._array.dtype.kind not in "iubf":
            raise DataError(f"{option}={path}: holds {self._array.dtype}; real numbers are needed.")
        if self._array.ndim == 0:
            raise DataError(f"{option}={path}: holds a single number; an array of examples is needed.")
        self._mapping, self._touched = self._array.base, 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored numbers."""
        return self._array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""
        return self._array.shape

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Rows) -> npt.NDArray[Any]:
        """Copies of the rows [B, ...]."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            found[start : start + _ROWS] = self._array[part]
            self._touched += len(part)
            if self._touched >= _ROWS:
                self._unmap()
        return found

    def _unmap(self) -> None:
        """Give back the pages that were read; the file's cache keeps them while there is memory."""
        if isinstance(self._mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)
        self._touched = 0


@dataclass(frozen=True)
class MappedExamples:
    """Two mapped arrays as a table. columns: K of targets that are numbers; None for classes."""

    inputs: MappedArray
    targets: MappedArray
    columns: int | None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Rows) -> Examples:
        shape = (len(rows),) if self.columns is None else (len(rows), self.columns)
        return Examples(self.inputs[rows], self.targets[rows].reshape(shape))

    def inspect(self, rows: Rows) -> Examples:
        return self.take(rows)
