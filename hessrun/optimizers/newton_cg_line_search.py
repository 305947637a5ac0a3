"""Newton's method by conjugate gradients with a line search."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from hessrun.linalg.limited_memory import LimitedMemory
from hessrun.linesearch import LineSearch, StrongWolfe
from hessrun.objective import Curvature, Evaluation, Objective
from hessrun.optimizers.base import State
from hessrun.optimizers.inexact_newton import InexactNewton, InexactNewtonState
from hessrun.optimizers.preconditioning import preconditioner, taught
from hessrun.optimizers.quasi_newton import first_step
from hessrun.options import integer


@dataclass(kw_only=True)
class NewtonCGLineSearchState(InexactNewtonState):
    """searched: trials of the last search; memory: the preconditioner, made of earlier products, or None."""

    searched: int = 0
    memory: LimitedMemory | None = None


@dataclass(frozen=True)
class NewtonCGLineSearch(InexactNewton[NewtonCGLineSearchState]):
    """x+ = x + t d, d from conjugate gradients on H d = -g, stopped before the first direction of negative curvature
    (Nocedal & Wright, 2006, algorithm 7.1); t by a line search that tries t = 1 first.

    Where the first direction has negative curvature already, it is d, which is -P g with a preconditioner P and -g
    without, and the first trial moves x by max(0.1 |x|, 1e-3). Near a stationary point it looks once for negative
    curvature from a random direction.

    line_search: how far to go along d, within the step's own batch.
    preconditioner: pairs of earlier products that precondition the next ones, 0 or above; 0 is none.
    The other options are those of `InexactNewton`.
    """

    state_type: ClassVar[type[State]] = NewtonCGLineSearchState

    line_search: LineSearch = field(default_factory=StrongWolfe)
    preconditioner: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        integer("preconditioner", self.preconditioner, minimum=0)

    def _start(self, x: Tensor, here: Evaluation | None) -> NewtonCGLineSearchState:
        return NewtonCGLineSearchState(x=x, evaluation=here)

    def _advance(
        self, objective: Objective, state: NewtonCGLineSearchState, here: Evaluation, B: Curvature, tolerance: float
    ) -> NewtonCGLineSearchState:
        path = self._path(B, here, tolerance, preconditioner(state.memory))
        model = path.step(float("inf"))
        t = 1.0 if model.iterations > 0 else first_step(here.x, model.d)
        found = self.line_search.search(objective, here, model.d, t)
        searched = found.evaluations
        if found.step == 0 and model.iterations > 0:
            # The model misleads, or rounding hides its decrease: steepest descent is the last resort.
            found = self.line_search.search(objective, here, -here.gradient, first_step(here.x, here.gradient))
            searched += found.evaluations
        state = replace(
            state,
            searched=searched,
            cg_iterations=state.cg_iterations + path.products,
            negative_curvature=model.negative_curvature,
            memory=taught(state.memory, path, self._in_product_dtype(here.x), self.preconditioner),
        )
        if found.step == 0:
            return replace(state, failure=found.failure)
        return replace(state, x=found.accepted.x, evaluation=found.accepted, step_size=found.step)

    def columns(self, state: NewtonCGLineSearchState) -> dict[str, float]:
        return {
            "cg_iterations": state.cg_iterations,
            "line_search_evaluations": state.searched,
            "negative_curvature": float(state.negative_curvature is True),
        }
