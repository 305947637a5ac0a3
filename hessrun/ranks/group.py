"""Which process this is, how it joins the others, and how it leaves them."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hessrun.errors import OptionError, RanksError

# What torchrun sets; all of them, so that a variable of another program's is not taken for it.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_REASON = "hessrun/left"
_PATIENCE = 3.0


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is. local_rank, local_size: the same among those of this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


@dataclass
class Group:
    """The ranks as they were joined.

    timeout: seconds; store: reaches the others when no collective does; failures: runs that have failed so far.
    """

    place: Place
    timeout: float
    store: Any
    backend: str
    has_left: bool = False
    failures: int = 0


_joined: Group | None = None


def place() -> Place:
    """This process's place by the launcher's environment; the only one where there is no launcher.

    Raises OptionError for an environment that holds no numbers.
    """
    if not all(os.environ.get(name) for name in _VARIABLES):
        return Place()
    try:
        rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return Place(rank, size, local, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
    except ValueError:
        raise OptionError(
            "The environment's RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE must be whole numbers: they are for "
            "torchrun to set."
        ) from None


def start(timeout: float = 600.0) -> None:
    """Join the other ranks, where there are any; later calls do nothing.

    timeout: seconds, above 0, that one rank waits for another before it gives up.
    Raises RanksError where they cannot be reached.
    """
    global _joined
    here = place()
    if _joined is not None or here.size == 1:
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    limit = timedelta(seconds=timeout)
    try:
        store, rank, size = next(iter(rendezvous("env://", here.rank, here.size, timeout=limit)))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise RanksError(f"rank {here.rank} of {here.size} cannot reach the others: {_line(error)}") from None
    _joined = Group(here, timeout, store, backend)


def stop() -> None:
    """Wait until all ranks are here, then part; nothing where they were not joined, or have left."""
    global _joined
    if _joined is None:
        return
    import torch.distributed as dist

    if not _joined.has_left:
        with contextlib.suppress(RanksError):
            barrier()
    if not _joined.has_left or _joined.backend == "gloo":
        # Not NCCL's, which would wait for those that have left; it goes with the process.
        dist.destroy_process_group()
    _joined = None


def barrier() -> None:
    """Wait until all ranks are here."""
    if _joined is not None:
        import torch
        import torch.distributed as dist

        with talking(_joined):
            dist.all_reduce(torch.zeros((), device="cpu"))


def joined() -> Group | None:
    """The ranks, where they have been joined."""
    return _joined


def leave(reason: str) -> None:
    """End this rank's part without the others, which are told why: whatever they wait for becomes an error there."""
    if _joined is None or _joined.has_left:
        return
    _joined.has_left = True
    with contextlib.suppress(RuntimeError):
        if not _joined.store.check([_REASON]):
            _joined.store.set(_REASON, f"rank {_joined.place.rank}: {reason}")


def leave_unless_all(reason: str) -> None:
    """Leave, as `leave`, unless every rank fails for the same reason at the same place: then they go on together.

    The others are given a few seconds to say so.
    """
    group = _joined
    if group is None or group.has_left:
        return
    group.failures += 1
    keys = [f"hessrun/failed/{group.failures}/{each}" for each in range(group.place.size)]
    try:
        group.store.set(keys[group.place.rank], reason)
        group.store.wait(keys, timedelta(seconds=min(_PATIENCE, group.timeout)))
        if all(group.store.get(key).decode() == reason for key in keys):
            return
    except RuntimeError:  # one of them goes on, and waits for this one; or the store is gone
        pass
    leave(reason)


def size() -> int:
    """How many ranks have been joined."""
    return 1 if _joined is None else _joined.place.size


def rank() -> int:
    """Which of them this is, from 0."""
    return 0 if _joined is None else _joined.place.rank


def is_writer() -> bool:
    """This process writes and prints."""
    return rank() == 0


def has_left() -> bool:
    """The ranks have parted before the end: nothing can be run together any more."""
    return _joined is not None and _joined.has_left


def on_this_machine() -> int:
    """How many ranks share this machine's processors and memory."""
    return 1 if _joined is None else _joined.place.local_size


@contextlib.contextmanager
def talking(group: Group) -> Iterator[None]:
    """What a collective raises becomes one line; after it, there is no other."""
    if group.has_left:
        raise RanksError("this rank has left the others: nothing can be run together any more.")
    try:
        yield
    except RuntimeError as error:
        group.has_left = True
        raise RanksError(
            f"another of the {group.place.size} ranks has ended, or has not answered for {group.timeout:g} s"
            f"{_told(group)}"
        ) from error


def _told(group: Group) -> str:
    """Why another rank left, where it could say so."""
    try:
        if group.store.check([_REASON]):
            return f": {group.store.get(_REASON).decode()}"
    except RuntimeError:  # the store went with the rank that kept it
        pass
    return "."


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
