"""The most memory that a run held: of the process on the host, and of torch on the CUDA device."""

import contextlib
import sys
from pathlib import Path

import torch

try:
    import resource
except ImportError:  # no POSIX system: the host's peak is not known there
    resource = None  # type: ignore[assignment]

# Linux, since 4.0: this forgets the process's peak so far (proc(5), clear_refs).
_FORGET = Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Measure from here on; where the system cannot, the host's peak is that since the process began."""
    with contextlib.suppress(OSError):
        _FORGET.write_text("5")
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """`peak_memory_bytes`, resident on the host; on CUDA also `peak_cuda_memory_bytes`, what torch allocated."""
    found = {}
    if resource is not None:
        unit = 1 if sys.platform == "darwin" else 1024
        found["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["peak_cuda_memory_bytes"] = torch.cuda.max_memory_allocated()
    return found
