"""Refuses a dense matrix that does not fit, before it is allocated."""

import math
import os

import torch

from hessrun import ranks
from hessrun.errors import TooLargeError


def available_bytes(device: torch.device) -> int:
    """What dense matrices may take: half of the device's memory. A fixed figure of the machine, not of the moment.

    On the host, the ranks that share it share that half.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 * ranks.on_this_machine())


def require_matrices(
    count: float, n: int, dtype: torch.dtype, device: torch.device, *, what: str, instead: str
) -> None:
    """Raise TooLargeError unless the memory of `count` matrices [n, n] fits into `available_bytes`."""
    needed, limit = int(count * n * n * dtype.itemsize), available_bytes(device)
    if needed > limit:
        raise TooLargeError(
            f"{what} at n = {n:,} needs {_size(needed)} ({_shape(count, n)} in {dtype}); "
            f"the limit here is {_size(limit)}, half of the memory of {device.type}. Use {instead} instead."
        )


def _shape(count: float, n: int) -> str:
    """As matrices [n, n], or where that is less than one, as vectors."""
    return f"{count:g} matrices of {n:,} x {n:,}" if count >= 1 else f"{math.ceil(count * n):,} vectors of {n:,}"


def _size(count: int) -> str:
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20)):
        if count >= 2**power:
            return f"{count / 2**power:.1f} {unit}"
    return f"{count:,} bytes"
