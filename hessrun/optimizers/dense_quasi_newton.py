"""The frame of the quasi-Newton methods with a dense inverse Hessian: the update's coefficients differ."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.broyden_family import Update, powell_weight
from hessrun.linalg.host import numbers
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix, matrices_needed
from hessrun.optimizers.base import State
from hessrun.optimizers.quasi_newton import Lesson, Pair, QuasiNewton, QuasiNewtonState
from hessrun.options import boolean, choice, integer


@dataclass(kw_only=True)
class DenseQuasiNewtonState(QuasiNewtonState[QuasiNewtonMatrix]):
    """A quasi-Newton state whose memory is a dense inverse Hessian."""

    memory: QuasiNewtonMatrix


@dataclass(frozen=True)
class DenseQuasiNewton(QuasiNewton[QuasiNewtonMatrix]):
    """O(n^2) time and memory an iteration: one product with the matrix, one update of rank two, folded in blocks.

    initial_scaling: multiply the first matrix by y's/y'y before its first update (Nocedal & Wright, 2006, eq. 6.20).
    low_curvature: what becomes of a pair whose curvature is too low: `skip` it where y's <= eps |s||y|, or `damp` it
    where y's < 0.2 s'B s (Powell; ibid., procedure 18.2).
    block: updates held apart before they are folded into the matrix, 1 or above; by default about sqrt(n).
    """

    state_type: ClassVar[type[State]] = DenseQuasiNewtonState

    initial_scaling: bool = True
    low_curvature: str = "skip"
    block: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        boolean("initial_scaling", self.initial_scaling)
        choice("low_curvature", self.low_curvature, ("skip", "damp"))
        if self.block is not None:
            integer("block", self.block, minimum=1)

    @abstractmethod
    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        """The update from y's > 0, y'H y > 0 and s'B s > 0."""

    def _empty(self, x: Tensor) -> QuasiNewtonMatrix:
        needed, name = matrices_needed(len(x), self.block), type(self).__name__
        require_matrices(needed, len(x), x.dtype, x.device, what=name, instead="optimizer=lbfgs")
        return QuasiNewtonMatrix.identity(x, block=self.block)

    def _is_empty(self, memory: QuasiNewtonMatrix) -> bool:
        return memory.is_identity

    def _learn(self, memory: QuasiNewtonMatrix, pair: Pair) -> Lesson:
        g = pair.there.gradient
        s, y = pair.there.x - pair.here.x, g - pair.here.gradient
        eps = torch.finfo(s.dtype).eps
        q = memory.product(g)
        # H y = H g+ - H g, and H g = -d. The difference cancels for a short step: then it is computed afresh.
        u = q + pair.direction if pair.step >= eps**0.5 else memory.product(y)
        ys, yy, ss, yu, sg, ug = numbers(
            torch.dot(s, y), torch.dot(y, y), torch.dot(s, s), torch.dot(y, u), torch.dot(s, g), torch.dot(u, g)
        )
        is_first = memory.is_identity
        damps = self.low_curvature == "damp" and not is_first
        if not (0 < yy < math.inf and (damps or ys > eps * math.sqrt(ss) * math.sqrt(yy))):
            return Lesson(-q)
        s_bs = -pair.step * (sg - ys)  # B s = -t g
        if is_first and self.initial_scaling:
            gamma = ys / yy
            memory.restart(gamma)
            u, q, s_bs = gamma * y, gamma * g, ss / gamma
            yu, ug = numbers(torch.dot(y, u), torch.dot(u, g))
        theta = powell_weight(ys, s_bs) if damps else 1.0
        if theta < 1:
            # With y' = theta y + (1 - theta) B s, u' = theta u + (1 - theta) s.
            y = torch.add(theta * y, g - y, alpha=-(1 - theta) * pair.step)
            u = torch.add(theta * u, s, alpha=1 - theta)
            yu = theta**2 * yu + 2 * theta * (1 - theta) * ys + (1 - theta) ** 2 * s_bs
            ys, ug = theta * ys + (1 - theta) * s_bs, theta * ug + (1 - theta) * sg
        if not (ys > 0 and yu > 0 and s_bs > 0):
            return Lesson(-q)  # rounding has made H indefinite along y: the line search's restart will tell
        update = self._coefficients(ys, yu, s_bs)
        if not update.fits(s.dtype):
            return Lesson(-q)
        memory.update(s, u, update)
        along_s, along_u = update.c11 * sg + update.c12 * ug, update.c12 * sg + update.c22 * ug
        return Lesson(-(update.tau * q + along_s * s + along_u * u), learned=[s, y], damped=theta < 1)
