"""Reads IDX files, the format of MNIST and its kin, and believes their content only.

Layout (LeCun): two zero bytes, the element type (0x08: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit number, then the elements.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.folder import content_of

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, *, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of bytes in an IDX file with so many dimensions, gzipped or not (told by content, not by name).

    Raises DataError where the file is truncated, too long, damaged or of another kind.
    """
    content = content_of(path)
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
        raise DataError(
            f"{path}: not an IDX file of bytes with {dimensions} dimensions (it begins with {content[:4].hex()}, "
            f"not with 000008{dimensions:02x}): put the right file there."
        )
    if len(content) < header:
        raise DataError(f"{path}: truncated: its header needs {header} bytes, it has {len(content)}; fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise DataError(
            f"{path}: {fault}: its header announces {list(shape)} and thus {expected} bytes, it has {len(content)}; "
            "fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
