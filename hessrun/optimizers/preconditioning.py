"""A preconditioner for the next step's conjugate gradients from the products of the steps before."""

from collections.abc import Callable

import torch
from torch import Tensor

from hessrun.linalg.conjugate_gradients import ConjugateGradientPath
from hessrun.linalg.limited_memory import LimitedMemory


def preconditioner(memory: LimitedMemory | None) -> Callable[[Tensor], Tensor] | None:
    """v -> H v, H being the L-BFGS matrix of earlier products (Morales and Nocedal, 2000), or None before the first."""
    if memory is None or memory.count == 0:
        return None
    return lambda v: memory.product(v.to(memory.pairs.dtype)).to(v.dtype)


def taught(memory: LimitedMemory | None, path: ConjugateGradientPath, like: Tensor, size: int) -> LimitedMemory | None:
    """The memory of at most `size` pairs after it has taken up those of a path, evenly chosen where there are more.

    size: 0 or above; with 0 there is none. like: a vector [n] on the parameters' device, of the
    products' type, which the pairs are kept in.
    """
    if size == 0:
        return None
    if memory is None:
        memory = LimitedMemory.empty(like, memory=size)
    completed = path.completed
    count = min(size, completed)
    chosen = {(i + 1) * completed // count - 1 for i in range(count)}
    for j, (s, y) in enumerate(path.pairs()):
        if j in chosen:
            memory.update(s, y, curvature=torch.finfo(like.dtype).eps)
    return memory
