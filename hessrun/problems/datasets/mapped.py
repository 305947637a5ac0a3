"""Numbers in a .npy file that is never read whole: a row is taken from where it lies in the file."""

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Rows


class MappedArray:
    """[N, ...] real numbers in a .npy file, read by row.

    The file is mapped to see what it holds. Rows are then read at their places: through the map a row would bring up to
    2 MiB around it into this process's memory, and a file that is cut meanwhile would end the process.
    Nothing in the file is run: its header is parsed as a literal, and arrays of objects are refused.

    option: what the file was given as, for messages.
    Raises DataError for a file that is missing, truncated or of another kind.
    """

    def __init__(self, path: str, option: str) -> None:
        self._told = f"{option}={path}"
        place = Path(path).expanduser()
        if not place.is_file():
            raise DataError(f"{self._told}: no such file; give a .npy file, as numpy.save writes it.")
        try:
            mapped = np.lib.format.open_memmap(place, mode="r")
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self._told}: no .npy file of numbers, or truncated ({reason}); write it anew with numpy.save."
            ) from None
        self.dtype: np.dtype[Any] = mapped.dtype
        self.shape: tuple[int, ...] = mapped.shape
        if self.dtype.kind not in "iubf":
            raise DataError(f"{self._told}: holds {self.dtype}; real numbers are needed.")
        if len(self.shape) == 0:
            raise DataError(f"{self._told}: holds a single number; an array of examples is needed.")
        if not mapped.flags.c_contiguous:
            raise DataError(
                f"{self._told}: its rows are scattered (Fortran order); write it anew with "
                "numpy.save(file, numpy.ascontiguousarray(array))."
            )
        self._start, self._row = mapped.offset, mapped[:1].nbytes
        self._file = os.open(place, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> npt.NDArray[Any]:
        """Copies of the rows [B, ...]. Raises DataError where the file has become shorter."""
        places = (self._start + self._row * rows).tolist()
        read = bytearray().join([os.pread(self._file, self._row, place) for place in places])
        if len(read) != self._row * len(rows):
            raise DataError(f"{self._told}: the file became shorter while it was read.")
        return np.frombuffer(read, self.dtype).reshape(len(rows), *self.shape[1:])


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
