"""The processes that run one command together, and what they tell each other.

There is one process, and every function here is free, until `start` joins those that a launcher such as torchrun
started: then each of them is a rank, all run the same program on the same vector, and rank 0 alone writes and prints.
Whatever depends on a clock, a signal or a file is decided by one of them and told to all.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from hessrun import errors
from hessrun.errors import HessrunError, OptionError, RanksError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# What torchrun sets; all of them, so that a variable of another program's is not taken for it.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_REASON = "hessrun/left"


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is. local_rank, local_size: the same among those of this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


@dataclass
class _Group:
    """The ranks as they were joined. timeout: seconds; store: reaches the others when no collective does."""

    place: Place
    timeout: float
    store: Any
    backend: str
    has_left: bool = False


_group: _Group | None = None


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
    global _group
    here = place()
    if _group is not None or here.size == 1:
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
    _group = _Group(here, timeout, store, backend)


def stop() -> None:
    """Wait until all ranks are here, then part; nothing where they were not joined, or have left."""
    global _group
    if _group is None:
        return
    import torch.distributed as dist

    if not _group.has_left:
        with contextlib.suppress(RanksError):
            barrier()
    if not _group.has_left or _group.backend == "gloo":
        # Not NCCL's, which would wait for those that have left; it goes with the process.
        dist.destroy_process_group()
    _group = None


def leave(reason: str) -> None:
    """End this rank's part without the others, which are told why: whatever they wait for becomes an error there."""
    if _group is None or _group.has_left:
        return
    _group.has_left = True
    with contextlib.suppress(RuntimeError):
        if not _group.store.check([_REASON]):
            _group.store.set(_REASON, f"rank {_group.place.rank}: {reason}")


def size() -> int:
    """How many ranks have been joined."""
    return 1 if _group is None else _group.place.size


def rank() -> int:
    """Which of them this is, from 0."""
    return 0 if _group is None else _group.place.rank


def is_writer() -> bool:
    """This process writes and prints."""
    return rank() == 0


def has_left() -> bool:
    """The ranks have parted before the end: nothing can be run together any more."""
    return _group is not None and _group.has_left


def on_this_machine() -> int:
    """How many ranks share this machine's processors and memory."""
    return 1 if _group is None else _group.place.local_size


def sum_(tensor: "Tensor") -> "Tensor":
    """The sum of a contiguous tensor over all ranks, in its place; the same to the last bit on each of them."""
    if _group is not None:
        import torch.distributed as dist

        with _talking(_group):
            dist.all_reduce(tensor)
    return tensor


def largest(*values: float) -> tuple[float, ...]:
    """The largest of each number over all ranks."""
    if _group is None:
        return values
    import torch
    import torch.distributed as dist

    found = torch.tensor(values, dtype=torch.float64, device="cpu")
    with _talking(_group):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return tuple(found.tolist())


def agree(value: float) -> float:
    """Rank 0's number, on all ranks."""
    if _group is None:
        return value
    import torch
    import torch.distributed as dist

    found = torch.tensor(value, dtype=torch.float64, device="cpu")
    with _talking(_group):
        dist.broadcast(found, 0)
    return float(found)


def barrier() -> None:
    """Wait until all ranks are here."""
    agree(0.0)


def require_same(vector: "Tensor", what: str) -> None:
    """Raise RanksError, on all ranks, unless the vector has the same bits on each of them (by a checksum)."""
    if _group is None:
        return
    import torch
    import torch.distributed as dist

    words = vector.detach().view(torch.int64 if vector.dtype.itemsize == 8 else torch.int32)
    total = words.sum(dtype=torch.int64).cpu()
    found = torch.stack([total, -total])
    with _talking(_group):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    if int(found.sum()) != 0:
        raise RanksError(f"{what} is not the same on all ranks: are they on machines, or versions, of different kinds?")


def require_same_text(text: str, what: str) -> None:
    """Raise RanksError, on all ranks, unless the text is the same on each of them."""
    if _group is not None:
        import torch

        digest = bytearray(hashlib.sha256(text.encode()).digest())
        require_same(torch.frombuffer(digest, dtype=torch.int64), what)


def by_writer(act: Callable[[], T], map_location: Any = "cpu") -> T:
    """What `act` returns on rank 0, which alone calls it, on all ranks; or what it raises.

    The value is made of tensors, numbers, strings and None in dictionaries, lists and tuples.
    map_location: where the other ranks have the tensors, as for `torch.load`.
    """
    if _group is None:
        return act()
    import torch

    found, packed = None, io.BytesIO()
    try:
        if is_writer():
            found = act()
            torch.save({"value": found}, packed)
    except Exception as error:
        torch.save({"error": _named(error)}, packed)
        _broadcast(_group, packed.getvalue(), 0)
        raise
    data = _broadcast(_group, packed.getvalue(), 0)
    if is_writer():
        return found  # type: ignore[return-value]
    content = torch.load(io.BytesIO(data), weights_only=True, map_location=map_location)
    if "error" in content:
        raise _remade(content["error"], 0)
    value: T = content["value"]
    return value


def together(act: Callable[[], T]) -> T:
    """What `act` returns here, once no rank has failed in it; an error of one rank is raised on all.

    `act` sends nothing to the other ranks itself.
    """
    if _group is None:
        return act()
    failure: Exception | None = None
    try:
        found = act()
    except Exception as error:  # noqa: BLE001  (raised again, as soon as the others know)
        failure = error
    (last,) = largest(-1.0 if failure is None else float(rank()))
    if last < 0:
        return found
    data = _broadcast(_group, b"" if failure is None else "\n".join(_named(failure)).encode(), int(last))
    if failure is not None:
        raise failure
    name, _, line = data.decode().partition("\n")
    raise _remade([name, line], int(last))


def _broadcast(group: _Group, data: bytes, source: int) -> bytes:
    import torch
    import torch.distributed as dist

    length = torch.tensor(len(data), device="cpu")
    with _talking(group):
        dist.broadcast(length, source)
        packed = torch.zeros(int(length), dtype=torch.uint8, device="cpu")
        if rank() == source:
            packed = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(packed, source)
    return packed.numpy().tobytes()


@contextlib.contextmanager
def _talking(group: _Group) -> Iterator[None]:
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


def _told(group: _Group) -> str:
    """Why another rank left, where it could say so."""
    try:
        if group.store.check([_REASON]):
            return f": {group.store.get(_REASON).decode()}"
    except RuntimeError:  # the store went with the rank that kept it
        pass
    return "."


def _named(error: Exception) -> list[str]:
    return [type(error).__name__, " ".join(str(error).split())]


def _remade(named: list[str], source: int) -> HessrunError:
    """The error that another rank raised."""
    name, line = named
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, HessrunError):
        return kind(line)
    return RanksError(f"rank {source}: {name}: {line}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
