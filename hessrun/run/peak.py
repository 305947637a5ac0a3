"""The most memory that a run held: of the process on the host, and of torch on the CUDA device."""

import contextlib
import sys
from pathlib import Path

import torch

from hessrun.run.heap import release_freed_memory

try:
    import resource
except ImportError:  # no POSIX system: the host's peak is not known there
    resource = None  # type: ignore[assignment]

# Linux, since 4.0: this forgets the process's peak so far (proc(5), clear_refs).
_FORGET = Path("/proc/self/clear_refs")
# Its peak there; getrusage's would hold that of the process that started this one as well.
_STATUS, _PEAK = Path("/proc/self/status"), "VmHWM:"


def forget_peak() -> None:
    """Measure from here on; where the system cannot, the host's peak is that since the process began.

    What was freed before goes back first: a run that is served from it would else seem to take no memory.
    """
    release_freed_memory()
    with contextlib.suppress(OSError):
        _FORGET.write_text("5")
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """`peak_memory_bytes`, resident on the host; on CUDA also `peak_cuda_memory_bytes`, what torch allocated."""
    found = {}
    resident = _resident()
    if resident is not None:
        found["peak_memory_bytes"] = resident
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["peak_cuda_memory_bytes"] = torch.cuda.max_memory_allocated()
    return found


def _resident() -> int | None:
    """The host's peak, bytes."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) * 1024
    if resource is None:
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
