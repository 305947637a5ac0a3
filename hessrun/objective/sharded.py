"""The empirical risk over examples that are shared out among the ranks."""

import copy
from collections.abc import Collection

import torch
from torch import Tensor

from hessrun import ranks
from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.counts import Counter
from hessrun.objective.risk import EmpiricalRisk
from hessrun.objective.shard import Shard


class ShardedRisk(Objective):
    """f(x) = sum_r N_r/N f_r(x), f_r the risk over the N_r examples of rank r: the risk over all N.

    Every f_r has the weight decay, and so has f, since the weights add up to 1. A value with its gradient, a product
    with a vector or a block, and a matrix take one sum over the ranks each. All ranks ask for the same at the same x,
    and get the same bits; they count passes over all examples.

    part: the risk over the examples that `shard` says are here, one or more.
    """

    def __init__(self, part: EmpiricalRisk, shard: Shard) -> None:
        self._part, self._shard = part, shard
        self.dim, self.dtype, self.device = part.dim, part.dtype, part.device
        self.n_examples = self.n_batch = shard.total
        self._n_here = shard.count
        self.counter = Counter(self.n_examples)

    @property
    def x0(self) -> Tensor:
        """The module's own parameters, [n]."""
        return self._part.x0

    @property
    def chunk_size(self) -> int:
        """Examples per chunk."""
        return self._part.chunk_size

    @property
    def _share(self) -> float:
        """N_r/N, the share of this objective's examples that is here; 0 where a minibatch has none of them."""
        return self._n_here / self.n_batch

    def _with(self, part: EmpiricalRisk) -> "ShardedRisk":
        """The same examples with another form of the risk over those here, on the same counter."""
        twin = copy.copy(self)
        twin._part, twin.dim, twin.dtype = part, part.dim, part.dtype
        return twin

    def subset(self, indices: Tensor) -> "ShardedRisk":
        """The risk over some of all examples, [B] int64; each rank takes those that it holds."""
        here = self._shard.held(indices)
        part = copy.copy(self)
        part.n_batch, part._n_here = len(indices), len(here)
        if part._n_here > 0:
            part._part = self._part.subset(here)
        return part

    def in_dtype(self, dtype: torch.dtype) -> "ShardedRisk":
        """As `EmpiricalRisk.in_dtype`."""
        return self if dtype == self.dtype else self._with(self._part.in_dtype(dtype))

    def restricted(self, x: Tensor, names: Collection[str]) -> "ShardedRisk":
        """As `EmpiricalRisk.restricted`."""
        return self._with(self._part.restricted(x, names))

    def named_views(self, x: Tensor) -> dict[str, Tensor]:
        return self._part.named_views(x)

    def state_dict(self, x: Tensor) -> dict[str, Tensor]:
        """As `EmpiricalRisk.state_dict`."""
        return self._part.state_dict(x)

    def curvature_kinds(self) -> tuple[str, ...]:
        """Those of the risk over a part."""
        return self._part.curvature_kinds()

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        # One buffer, and so one sum: the gradient, then the value.
        packed = x.new_zeros(self.dim + 1 if gradient else 1)
        if self._n_here > 0:
            found = self._part._evaluate(x, gradient)
            packed[-1] = found.value
            if gradient:
                packed[:-1] = found.gradient
            packed.mul_(self._share)
        ranks.sum_(packed)
        # Copies, so that whoever keeps a gradient keeps n numbers.
        return Evaluation(x, packed[-1].clone(), packed[:-1].clone() if gradient else None)

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        return _ShardedCurvature(self, self._part._curvature(x, kind) if self._n_here > 0 else None, self._share)

    def _hessian(self, x: Tensor) -> tuple[Tensor, int]:
        return self._summed(self._part._hessian(x) if self._n_here > 0 else None)

    def _dense(self, x: Tensor, kind: str) -> tuple[Tensor, int]:
        return self._summed(self._part._dense(x, kind) if self._n_here > 0 else None)

    def _summed(self, found: tuple[Tensor, int] | None) -> tuple[Tensor, int]:
        """The matrix over all ranks, symmetric again to the last bit, and the most columns that one propagated."""
        if found is None:
            found = torch.zeros(self.dim, self.dim, dtype=self.dtype, device=self.device), 0
        matrix = ranks.sum_(found[0].mul_(self._share))
        # Of three numbers or more, a sum depends on their order, which differs from place to place.
        return (matrix + matrix.T).mul_(0.5), int(ranks.largest(found[1])[0])


class _ShardedCurvature(Curvature):
    """The products of all ranks, each with its share; None for those that hold no example of a minibatch."""

    def __init__(self, objective: ShardedRisk, part: Curvature | None, share: float) -> None:
        super().__init__(objective)
        self._part, self._share = part, share
        self._block = int(ranks.largest(super().block if part is None else part.block)[0])

    @property
    def block(self) -> int:
        return self._block

    def _product(self, vectors: Tensor) -> Tensor:
        if self._part is None:
            product = torch.zeros_like(vectors, memory_format=torch.contiguous_format)
        else:
            product = (self._share * self._part._product(vectors)).contiguous()
        return ranks.sum_(product)

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
