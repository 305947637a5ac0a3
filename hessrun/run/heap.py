"""Lets the process keep the memory that it frees: intermediate results of a step are the same pages step after step.

The C library of Linux hands freed blocks of some MiB back to the system, or keeps them, by what was freed before: with
fresh pages a step takes up to twice as long, in one process and not in the next.
"""

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT = 256 * 2**20
_LARGEST = 32 * 2**20  # of a block that is kept; larger ones always go back


def keep_freed_memory() -> bool:
    """Keep up to 256 MiB of freed blocks of up to 32 MiB each for the next ones; whether the C library takes it.

    False, and nothing is changed, where it is not glibc's.
    """
    mallopt = _of_the_c_library("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))


def release_freed_memory() -> None:
    """Hand all freed blocks back to the system, the kept ones too; nothing happens where the C library is not glibc."""
    trim = _of_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)  # malloc_trim(3)


def _of_the_c_library(name: str) -> Any:
    """A function of Linux's C library, None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
