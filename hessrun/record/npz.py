"""Reads NumPy's archives of many small arrays: the header of an array, which NumPy parses each time, is parsed once."""

import io
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_VERSION_1 = 8  # bytes of the magic string and the version; two more of the header's length follow in version 1.0


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays that `numpy.savez` or `numpy.savez_compressed` wrote, by name.

    Raises OSError, zipfile.BadZipFile, zlib.error or ValueError where the file is damaged or holds Python objects.
    """
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}


def _array(content: bytes) -> Any:
    start = _VERSION_1 + 2 + int.from_bytes(content[_VERSION_1 : _VERSION_1 + 2], "little")
    shape, order, dtype = _header(content[:start])
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(shape, order=order).copy()


@lru_cache(maxsize=1024)
def _header(content: bytes) -> tuple[tuple[int, ...], Any, Any]:
    """Shape, order and dtype from an array's first bytes."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not an array of NumPy's format 1.0")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    return shape, "F" if is_fortran else "C", dtype
