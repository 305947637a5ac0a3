"""Newton's method by conjugate gradients in a trust region: Hessian-vector products and no matrix."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from hessrun.linalg.conjugate_gradients import Step
from hessrun.linalg.limited_memory import LimitedMemory
from hessrun.objective import Curvature, Evaluation, Objective
from hessrun.optimizers.base import State
from hessrun.optimizers.inexact_newton import InexactNewton, InexactNewtonState
from hessrun.optimizers.preconditioning import preconditioner, taught
from hessrun.optimizers.trust_region import Trial, attempt, first_radius, is_exhausted, next_radius
from hessrun.options import integer, positive
from hessrun.status import Status


@dataclass(kw_only=True)
class NewtonCGState(InexactNewtonState):
    """radius: of the next trial, in units of x; rejected: trials refused by the last step; memory: the preconditioner,
    made of earlier products, or None.
    """

    radius: float
    rejected: int = 0
    memory: LimitedMemory | None = None


@dataclass(frozen=True)
class NewtonCG(InexactNewton[NewtonCGState]):
    """x+ = x + d, d from conjugate gradients on H d = -g, left where they cross |d| = radius or meet negative curvature
    (Steihaug, 1983; Nocedal & Wright, 2006, algorithms 4.1 and 7.2).

    A refused trial costs a gradient and no product. Near a stationary point it looks once for negative curvature from
    a random direction, so that it leaves saddles and does not take them for minima.

    initial_radius: in units of x, above 0; by default max(0.01 |x0|, 1e-3), enlarged within the first step.
    max_trials: trials of one step at most, accepted ones included, 1 or above.
    preconditioner: pairs of earlier products that precondition the next ones, 0 or above; 0 is none.
    The other options are those of `InexactNewton`.
    """

    state_type: ClassVar[type[State]] = NewtonCGState

    initial_radius: float | None = None
    max_trials: int = 60
    preconditioner: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_radius is not None:
            positive("initial_radius", self.initial_radius)
        integer("max_trials", self.max_trials, minimum=1)
        integer("preconditioner", self.preconditioner, minimum=0)

    def _start(self, x: Tensor, here: Evaluation | None) -> NewtonCGState:
        return NewtonCGState(x=x, evaluation=here, radius=self._first_radius(x))

    def _first_radius(self, x: Tensor) -> float:
        return first_radius(x) if self.initial_radius is None else float(self.initial_radius)

    def _advance(
        self, objective: Objective, state: NewtonCGState, here: Evaluation, B: Curvature, tolerance: float
    ) -> NewtonCGState:
        path = self._path(B, here, tolerance, preconditioner(state.memory))
        radius, rejected = state.radius, 0
        taken: tuple[Step, Trial] | None = None
        met = False
        for _ in range(self.max_trials):
            if is_exhausted(here.x, radius):
                break
            model = path.step(radius)
            met = met or model.negative_curvature
            if is_exhausted(here.x, model.length):
                break
            trial = attempt(objective, here, model.d, model.decrease)
            radius = next_radius(radius, trial.gain, model.length, model.on_boundary)
            if not trial.is_accepted:
                rejected += 1
                if taken is not None:
                    break
                continue
            if taken is not None and not trial.evaluation.value < taken[1].evaluation.value:
                break
            is_grown, taken = radius > model.length and model.on_boundary, (model, trial)
            # The first radius is a guess from x's scale alone: enlarge it for as long as the model holds.
            if state.step > 1 or not is_grown or self.initial_radius is not None:
                break
        state = replace(
            state,
            radius=radius,
            rejected=rejected,
            cg_iterations=state.cg_iterations + path.products,
            negative_curvature=met,
            memory=taught(state.memory, path, self._in_product_dtype(here.x), self.preconditioner),
        )
        if taken is None:
            return replace(state, radius=self._first_radius(here.x), failure=Status.STALLED)
        model, trial = taken
        return replace(state, x=trial.evaluation.x, evaluation=trial.evaluation, step_size=model.length)

    def columns(self, state: NewtonCGState) -> dict[str, float]:
        return {
            "radius": state.radius,
            "cg_iterations": state.cg_iterations,
            "rejected_steps": state.rejected,
            "negative_curvature": float(state.negative_curvature is True),
        }
