"""BFGS with a dense inverse Hessian."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.inverse_hessian import InverseHessian, bfgs_coefficients
from hessrun.linalg.memory import require_matrices
from hessrun.optimizers.base import State
from hessrun.optimizers.quasi_newton import Pair, QuasiNewton, QuasiNewtonState
from hessrun.options import boolean, integer


@dataclass(kw_only=True)
class BFGSState(QuasiNewtonState[InverseHessian]):
    """A quasi-Newton state whose memory is a dense inverse Hessian."""

    memory: InverseHessian


@dataclass(frozen=True)
class BFGS(QuasiNewton[InverseHessian]):
    """The Broyden-Fletcher-Goldfarb-Shanno method (Nocedal & Wright, 2006, algorithm 6.1).

    O(n^2) time and memory an iteration: one product with the matrix, one update of rank two, folded in blocks.

    initial_scaling: multiply the first matrix by y's/y'y before its first update (eq. 6.20).
    block: updates held apart before they are folded into the matrix, 1 or above; by default about sqrt(n).
    """

    state_type: ClassVar[type[State]] = BFGSState

    initial_scaling: bool = True
    block: int | None = None

    def __post_init__(self) -> None:
        boolean("initial_scaling", self.initial_scaling)
        if self.block is not None:
            integer("block", self.block, minimum=1)

    def _empty(self, x: Tensor) -> InverseHessian:
        require_matrices(1.3, len(x), x.dtype, x.device, what="BFGS", instead="optimizer=lbfgs")
        return InverseHessian.identity(x, block=self.block)

    def _is_empty(self, memory: InverseHessian) -> bool:
        return memory.is_identity

    def _learn(self, memory: InverseHessian, pair: Pair) -> tuple[Tensor, bool]:
        s, y, g = pair.s, pair.y, pair.gradient
        eps = torch.finfo(s.dtype).eps
        rescale = memory.is_identity and self.initial_scaling
        q = memory.product(g)
        # H y = H g+ - H g, and H g = -d. The difference cancels for a short step: then it is computed afresh.
        u = q + pair.direction if pair.step >= eps**0.5 else memory.product(y)
        ys, yy, ss, yu, sg, ug = _inner_products((s, y), (y, y), (s, s), (y, u), (s, g), (u, g))
        # Where y'y underflows to 0 there is no scaling to be had from the pair.
        if not (yy > 0 and ys > eps * ss**0.5 * yy**0.5):
            return -q, False
        if rescale:
            memory.restart(ys / yy)
            u, q = memory.product(y), memory.product(g)
            yu, ug = _inner_products((y, u), (u, g))
        c11, c12, c22 = coefficients = bfgs_coefficients(ys, yu)
        memory.update(s, u, coefficients)
        return -(q + (c11 * sg + c12 * ug) * s + (c12 * sg + c22 * ug) * u), True


def _inner_products(*pairs: tuple[Tensor, Tensor]) -> list[float]:
    """All inner products with one transfer to the host."""
    values: list[float] = torch.stack([torch.dot(a, b) for a, b in pairs]).tolist()
    return values
