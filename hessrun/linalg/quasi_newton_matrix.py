"""The dense matrix of a quasi-Newton method, with its newest updates held apart.

Every method updates its matrix M (the approximation H of the inverse Hessian, or B of the Hessian itself) by

    M+ = tau M + [a b] C [a b]',    C symmetric, 2 x 2

(the methods' a, b and C: `hessrun.linalg.broyden_family`). The vectors are kept as rows and folded into the matrix by
one product every `block` updates, so that an iteration reads the matrix once instead of writing it. Until the first
fold the matrix is a multiple of the identity, and nothing n x n exists.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hessrun.linalg.broyden_family import Update
from hessrun.linalg.symmetric import symmetric_product

# Rows mirrored at a time: a tile of this size stays in the cache.
_TILE = 256


def block_size(n: int) -> int:
    """Updates held apart before a fold: about sqrt(n), where applying and folding them cost the same."""
    return max(1, min(128, math.isqrt(n)))


class SymmetricMatrix(Protocol):
    """A matrix [n, n] by its products, and as a whole where that fits."""

    def product(self, v: Tensor) -> Tensor: ...

    def dense(self) -> Tensor: ...


def matrices_needed(n: int, block: int | None) -> float:
    """Memory at a fold in units of a matrix [n, n]: the base, the rows held apart, and as many to fold them in."""
    return 1.0 + 4 * (block_size(n) if block is None else block) / n


@dataclass
class QuasiNewtonMatrix:
    """M = factor (base + pending updates), symmetric [n, n]. Updates change it in place.

    scale: the base is scale * I until the first fold; base: [n, n] from then on.
    pairs: [2 block, n], rows a, b, a, b ...; middle: [block, 2, 2], the matrices C; count: updates pending.
    factor: the product of the tau since the last fold.
    """

    scale: float
    base: Tensor | None
    pairs: Tensor
    middle: Tensor
    count: int
    factor: float = 1.0

    @classmethod
    def identity(cls, x: Tensor, *, scale: float = 1.0, block: int | None = None) -> "QuasiNewtonMatrix":
        """scale * I for vectors like x [n]."""
        block = block_size(len(x)) if block is None else block
        return cls(scale, None, x.new_zeros(2 * block, len(x)), x.new_zeros(block, 2, 2), 0)

    @property
    def is_identity(self) -> bool:
        """Still a multiple of the identity: no update since the start or the last restart."""
        return self.base is None and self.count == 0

    def product(self, v: Tensor) -> Tensor:
        """M v, [n]."""
        product = self.scale * v if self.base is None else symmetric_product(self.base, v)
        if self.count > 0:
            rows = self.pairs[: 2 * self.count]
            weights = self.middle[: self.count] @ (rows @ v).view(-1, 2, 1)
            product.addmv_(rows.T, weights.view(-1))
        return product if self.factor == 1 else product.mul_(self.factor)

    def update(self, a: Tensor, b: Tensor, by: Update) -> None:
        """M <- tau M + [a b] C [a b]'; folds when the block is full."""
        self.factor *= by.tau
        c11, c12, c22 = by.c11 / self.factor, by.c12 / self.factor, by.c22 / self.factor
        self.pairs[2 * self.count] = a
        self.pairs[2 * self.count + 1] = b
        self.middle[self.count] = self.middle.new_tensor([[c11, c12], [c12, c22]])
        self.count += 1
        if self.count == len(self.middle):
            self.fold()

    def newest_update(self) -> Tensor | None:
        """M+ - M of the newest update, [n, n]; None where it was folded in, or where M was scaled since then."""
        if self.count == 0 or self.factor != 1:
            return None
        rows = self.pairs[2 * self.count - 2 : 2 * self.count]
        return rows.T @ (self.middle[self.count - 1] @ rows)

    def restart(self, scale: float) -> None:
        """M <- scale * I; the pending updates are dropped."""
        self.scale, self.base, self.count, self.factor = scale, None, 0, 1.0

    def fold(self) -> None:
        """Add the pending updates to the dense base, symmetric to the last bit."""
        if self.count == 0:
            return
        rows = self.pairs[: 2 * self.count]
        weighted = self._weighted(rows)
        if self.base is None:
            self.base = torch.zeros(rows.shape[1], rows.shape[1], dtype=rows.dtype, device=rows.device)
            self.base.diagonal().fill_(self.scale)
        self.base.addmm_(rows.T, weighted, beta=self.factor, alpha=self.factor)
        _mirror(self.base)
        self.count, self.factor = 0, 1.0

    def _weighted(self, rows: Tensor) -> Tensor:
        """C [a b]' of the pending updates, [2 count, n]."""
        n = rows.shape[1]
        return (self.middle[: self.count] @ rows.view(self.count, 2, n)).view(2 * self.count, n)

    def dense(self) -> Tensor:
        """M as a new matrix [n, n], for tests and diagnosis."""
        n = self.pairs.shape[1]
        if self.base is None:
            matrix = torch.zeros(n, n, dtype=self.pairs.dtype, device=self.pairs.device)
            matrix.diagonal().fill_(self.scale)
        else:
            matrix = self.base.clone()
        rows = self.pairs[: 2 * self.count]
        return matrix.addmm_(rows.T, self._weighted(rows), beta=self.factor, alpha=self.factor)


def _mirror(matrix: Tensor) -> None:
    """Copy the upper triangle onto the lower one, tile by tile, without a second matrix."""
    for start in range(0, len(matrix), _TILE):
        rows = slice(start, start + _TILE)
        matrix[rows, :start] = matrix[:start, rows].T
        corner = matrix[rows, rows]
        corner.copy_(corner.triu() + corner.triu(1).T)
