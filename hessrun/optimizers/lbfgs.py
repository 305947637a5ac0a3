"""L-BFGS: the inverse Hessian from the last m pairs."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.limited_memory import LimitedMemory
from hessrun.optimizers.base import State
from hessrun.optimizers.quasi_newton import Lesson, Pair, QuasiNewton, QuasiNewtonState
from hessrun.options import choice, integer


@dataclass(kw_only=True)
class LBFGSState(QuasiNewtonState[LimitedMemory]):
    """A quasi-Newton state whose memory is the last m pairs."""

    memory: LimitedMemory


@dataclass(frozen=True)
class LBFGS(QuasiNewton[LimitedMemory]):
    """Limited-memory BFGS (Liu and Nocedal, 1989; Nocedal & Wright, 2006, algorithm 7.5).

    O(m n) time and memory an iteration.

    memory: pairs kept, m, 1 or above.
    initial_scaling: of the matrix before the pairs. `diagonal` (a diagonal matrix that learns every pair: Gilbert and
    Lemaréchal, 1989), `every` (y's/y'y I with the newest pair, eq. 7.20), `first` (with the first pair alone; with
    memory >= iterations this is BFGS) or `none` (I).
    """

    state_type: ClassVar[type[State]] = LBFGSState

    memory: int = 10
    initial_scaling: str = "diagonal"

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("memory", self.memory, minimum=1)
        choice("initial_scaling", self.initial_scaling, ("diagonal", "every", "first", "none"))

    def _empty(self, x: Tensor) -> LimitedMemory:
        return LimitedMemory.empty(x, memory=self.memory, scaling=self.initial_scaling)

    def _is_empty(self, memory: LimitedMemory) -> bool:
        return memory.count == 0

    def _learn(self, memory: LimitedMemory, pair: Pair) -> Lesson:
        here, there = pair.here, pair.there
        s, y = memory.spare
        torch.sub(there.x, here.x, out=s)
        torch.sub(there.gradient, here.gradient, out=y)
        direction, taken = memory.take(s, y, there.gradient, curvature=torch.finfo(s.dtype).eps)
        return Lesson(direction, learned=[s, y] if taken else None)
