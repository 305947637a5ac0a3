"""Checkpoints: the newest two states of a run, each written whole under another name first, read without pickle's code.

A file holds {format, run_id, step, trace_bytes, checksum, x, best_x, loop}: `trace_bytes` says how long the trace was
when the state was taken, and `loop` is `Loop.snapshot`. The file of a run that ended, and whose state is too large to
keep, holds {step, x, best_x} alone.
"""

import os
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hessrun.errors import RecordError
from hessrun.optimizers.plain import tensors_in
from hessrun.record.schema import CHECKPOINT, CHECKPOINT_PREVIOUS, TRACE

FORMAT = 1
_DAMAGE = (RuntimeError, KeyError, TypeError, EOFError, OSError, ValueError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Checkpoint:
    """A state to go on from. step: its step; trace_bytes: the length of the trace that belongs to it."""

    step: int
    trace_bytes: int
    loop: dict[str, Any]


def save(folder: Path, content: dict[str, Any]) -> None:
    """Make `content` the newest checkpoint, and the newest one the previous.

    Raises OSError where it cannot be written; both stay as they were.
    """
    path = folder / CHECKPOINT
    temporary = _written(content, path)
    if path.exists():
        path.replace(folder / CHECKPOINT_PREVIOUS)
    temporary.replace(path)


def save_whole(content: Any, path: Path) -> None:
    """As `torch.save`, but `path` becomes the whole file or stays as it was. Raises OSError."""
    _written(content, path).replace(path)


def _written(content: Any, path: Path) -> Path:
    """A temporary file beside `path`, on the disk."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            # Of a full disk torch says, while it handles that, that the file is not as long as it should be.
            raise error.__context__ from None
        raise
    return temporary


def drop_previous(folder: Path) -> None:
    """Keep the newest one alone."""
    (folder / CHECKPOINT_PREVIOUS).unlink(missing_ok=True)


def pack(run_id: str, step: int, trace_bytes: int, loop: dict[str, Any]) -> dict[str, Any]:
    """What `save` takes and `newest` gives back."""
    return {
        "format": FORMAT,
        "run_id": run_id,
        "trace_bytes": trace_bytes,
        "checksum": _checksum(loop),
        "loop": loop,
    } | final(step, loop["x"], loop["x"] if loop["best"] is None else loop["best"]["x"])


def final(step: int, x: Tensor, best_x: Tensor) -> dict[str, Any]:
    """The part of a checkpoint that is kept of every run that ended."""
    return {"step": step, "x": x.detach().cpu(), "best_x": best_x.detach().cpu()}


def final_point(folder: Path) -> tuple[int, Tensor] | None:
    """The step and the vector x [n], on the host, of the newest checkpoint; None where there is none.

    Raises RecordError for a damaged one.
    """
    path = folder / CHECKPOINT
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        return int(content["step"]), content["x"]
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise RecordError(f"{path}: damaged, no vector can be read from it ({type(error).__name__}).") from None


def state_bytes(loop: dict[str, Any]) -> int:
    """Bytes that `loop` takes on disk, nearly: those of its tensors, views counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_in(loop)}
    return sum(storages.values())


def newest(folder: Path, run_id: str, device: torch.device) -> tuple[Checkpoint | None, list[str]]:
    """The newest sound checkpoint, and a line for each damaged one. None where there is none to go on from.

    device: that of the run now; what was kept of another one of its kind goes there, and what lay on the host, to it.
    """
    complaints: list[str] = []
    for name in (CHECKPOINT, CHECKPOINT_PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            found = torch.load(path, weights_only=True, map_location=place_on(device))
            if "loop" not in found:
                continue
            if found["format"] != FORMAT or found["run_id"] != run_id:
                raise ValueError("of another format or another run")
            if found["checksum"] != _checksum(found["loop"]):
                raise ValueError("its checksum is wrong")
            trace = folder / TRACE
            if (trace.stat().st_size if trace.exists() else 0) < found["trace_bytes"]:
                raise ValueError("the trace is shorter than it was")
            return Checkpoint(int(found["step"]), int(found["trace_bytes"]), found["loop"]), complaints
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:120]
            complaints.append(f"{path}: damaged and not used ({type(error).__name__}: {reason})")
    return None, complaints


def place_on(device: torch.device) -> Callable[[Any, str], Any]:
    """As `torch.load`'s map_location: what was kept of a device goes to this one, what lay on the host stays there."""

    def place(storage: Any, location: str) -> Any:
        return storage if location.startswith("cpu") else storage.to(device=device)

    return place


def _checksum(value: Any) -> int:
    """Of all tensors, in order: what torch reads it does not check."""
    total = 0
    for tensor in tensors_in(value):
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        total = zlib.crc32(flat.numpy().data, total)
    return total
