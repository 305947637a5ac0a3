"""Numbers and vectors over all ranks: sums, agreement, and the check that all hold the same."""

import hashlib
from typing import TYPE_CHECKING

from hessrun.errors import RanksError
from hessrun.ranks.group import joined, talking

if TYPE_CHECKING:
    from torch import Tensor


def sum_(tensor: "Tensor") -> "Tensor":
    """The sum of a contiguous tensor over all ranks, in its place; the same to the last bit on each of them."""
    group = joined()
    if group is not None:
        import torch.distributed as dist

        with talking(group):
            dist.all_reduce(tensor)
    return tensor


def largest(*values: float) -> tuple[float, ...]:
    """The largest of each number over all ranks."""
    group = joined()
    if group is None:
        return values
    import torch
    import torch.distributed as dist

    found = torch.tensor(values, dtype=torch.float64, device="cpu")
    with talking(group):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return tuple(found.tolist())


def agree(value: float) -> float:
    """Rank 0's number, on all ranks."""
    group = joined()
    if group is None:
        return value
    import torch
    import torch.distributed as dist

    found = torch.tensor(value, dtype=torch.float64, device="cpu")
    with talking(group):
        dist.broadcast(found, 0)
    return float(found)


def require_same(vector: "Tensor", what: str) -> None:
    """Raise RanksError, on all ranks, unless the vector has the same bits on each of them (by a checksum)."""
    group = joined()
    if group is None:
        return
    import torch
    import torch.distributed as dist

    words = vector.detach().view(torch.int64 if vector.dtype.itemsize == 8 else torch.int32)
    total = words.sum(dtype=torch.int64).cpu()
    found = torch.stack([total, -total])
    with talking(group):
        dist.all_reduce(found, dist.ReduceOp.MAX)
    if int(found.sum()) != 0:
        raise RanksError(f"{what} is not the same on all ranks: are they on machines, or versions, of different kinds?")


def require_same_text(text: str, what: str) -> None:
    """Raise RanksError, on all ranks, unless the text is the same on each of them."""
    group = joined()
    if group is not None:
        import torch

        digest = bytearray(hashlib.sha256(text.encode()).digest())
        require_same(torch.frombuffer(digest, dtype=torch.int64), what)
