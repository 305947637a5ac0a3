"""What one rank found or met with, told to all."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

from hessrun import errors
from hessrun.errors import HessrunError, RanksError
from hessrun.ranks.group import Group, is_writer, joined, rank, talking
from hessrun.ranks.numbers import largest

T = TypeVar("T")


def by_writer(act: Callable[[], T], map_location: Any = "cpu") -> T:
    """What `act` returns on rank 0, which alone calls it, on all ranks; or what it raises.

    The value is made of tensors, numbers, strings and None in dictionaries, lists and tuples.
    map_location: where the other ranks have the tensors, as for `torch.load`.
    """
    group = joined()
    if group is None:
        return act()
    import torch

    found, packed = None, io.BytesIO()
    try:
        if is_writer():
            found = act()
            torch.save({"value": found}, packed)
    except Exception as error:
        told = io.BytesIO()
        torch.save({"error": _named(error)}, told)
        _broadcast(group, told.getvalue(), 0)
        raise
    data = _broadcast(group, packed.getvalue(), 0)
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
    group = joined()
    if group is None:
        return act()
    failure: Exception | None = None
    try:
        found = act()
    except Exception as error:  # noqa: BLE001  (raised again, as soon as the others know)
        failure = error
    (last,) = largest(-1.0 if failure is None else float(rank()))
    if last < 0:
        return found
    data = _broadcast(group, b"" if failure is None else "\n".join(_named(failure)).encode(), int(last))
    if failure is not None:
        raise failure
    name, _, line = data.decode().partition("\n")
    raise _remade([name, line], int(last))


def _broadcast(group: Group, data: bytes, source: int) -> bytes:
    import torch
    import torch.distributed as dist

    length = torch.tensor(len(data), device="cpu")
    with talking(group):
        dist.broadcast(length, source)
        packed = torch.zeros(int(length), dtype=torch.uint8, device="cpu")
        if rank() == source:
            packed = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(packed, source)
    return packed.numpy().tobytes()


def _named(error: Exception) -> list[str]:
    return [type(error).__name__, " ".join(str(error).split())]


def _remade(named: list[str], source: int) -> HessrunError:
    """The error that another rank raised."""
    name, line = named
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, HessrunError):
        return kind(line)
    return RanksError(f"rank {source}: {name}: {line}")
