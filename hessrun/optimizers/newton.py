"""Newton's method with the exact Hessian."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import torch
from torch import Tensor

from hessrun.linalg.cholesky import definite_factor, is_indefinite, require_factors
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.modified_newton import Modification, ModifiedHessian, modify
from hessrun.linalg.norms import norm
from hessrun.objective import Evaluation
from hessrun.optimizers.base import Insight, Optimizer, State
from hessrun.optimizers.trust_region import attempt, first_radius
from hessrun.options import choice, integer
from hessrun.problems.problem import Problem
from hessrun.status import Status

_FIRST_DAMPING = 1e-3
# Shares of the curvature along the refused step: the least damping that matters, and that which no longer does.
_LEAST_DAMPING, _NO_DAMPING = 0.1, 1e-3
_GOOD = 0.5


@dataclass(kw_only=True)
class NewtonState(State):
    """damping: mu in units of |lambda|max; eigenvalues: of the Hessian at the x of `eigenvalues_step`, where it was
    decomposed; negative_curvature: whether the last Hessian was indefinite by more than rounding, None before the first
    look; rejected: trials that the last step refused.
    """

    damping: float = 0.0
    eigenvalues: Tensor | None = None
    eigenvalues_step: int = -1
    negative_curvature: bool | None = None
    rejected: int = 0


@dataclass(frozen=True)
class Newton(Optimizer[NewtonState]):
    """x+ = x - (M + mu I)^-1 g, M a positive definite stand-in for the Hessian (Nocedal & Wright, 2006, section 3.4).

    mu starts at 0. The gain ratio (f - f+) / predicted decrease refuses a step below 1e-4, which raises mu (Levenberg,
    1944; Marquardt, 1963); above 1/2 it lowers mu, and back to exactly 0, so that the order of convergence stays 2.
    At a saddle with next to no gradient left it leaves along the eigenvector of the least eigenvalue.

    modification: `absolute` (saddle-free: Dauphin et al., 2014), `shift`, `clip`, or `none` (the plain iteration of
    the textbook: full steps without damping, up or down; one to where f is not finite is not taken, and ends it. It
    stays at a saddle, but is never converged there).
    max_trials: trials of one step before it gives up, 1 or above.
    """

    state_type: ClassVar[type[State]] = NewtonState
    decomposes: ClassVar[bool] = True

    modification: Modification = "absolute"
    max_trials: int = 40

    def __post_init__(self) -> None:
        choice("modification", self.modification, get_args(Modification))
        integer("max_trials", self.max_trials, minimum=1)

    def init(self, problem: Problem) -> NewtonState:
        x = problem.x0
        require_factors(x.dtype, what="Newton's method")
        require_matrices(4, len(x), x.dtype, x.device, what="Newton's method", instead="optimizer=lbfgs")
        return NewtonState(x=x, evaluation=problem.train.evaluate(x))

    def step(self, problem: Problem, state: NewtonState) -> NewtonState:
        here = state.here
        H = problem.train.hessian(here.x)
        if not bool(H.isfinite().all()):
            return replace(state, step=state.step + 1, failure=Status.DIVERGED)
        if self.modification == "none":
            return self._plain(problem, state, H)
        model = modify(H, self.modification)
        if model is None:
            return replace(state, step=state.step + 1, negative_curvature=True, failure=Status.STALLED)
        state = replace(
            state,
            eigenvalues=model.eigenvalues,
            eigenvalues_step=state.step if model.eigenvalues is not None else -1,
            negative_curvature=model.is_indefinite,
            step=state.step + 1,
        )
        slope = norm(here.gradient)
        if model.is_indefinite and slope <= _stationary(here.x) * model.scale:
            left = self._leave_saddle(problem, state, model.lowest())
            if left is not None:
                return left
        if slope == 0:
            return replace(state, rejected=0, failure=Status.STALLED)
        return self._damped(problem, state, model, slope)

    def _damped(self, problem: Problem, state: NewtonState, model: ModifiedHessian, slope: float) -> NewtonState:
        here, damping = state.here, state.damping
        # A Hessian that is 0 has no unit for the damping: x's own scale gives one.
        unit = model.scale if model.scale > 0 else slope / first_radius(here.x)
        for rejected in range(self.max_trials):
            d, solved = model.solve(-here.gradient, damping * unit)
            if not solved:
                damping = max(4 * damping, _FIRST_DAMPING)
                continue
            curvature = model.quadratic(d)
            trial = attempt(problem.train, here, d, -(torch.dot(here.gradient, d) + 0.5 * curvature))
            # Where the step is long its curvature is small: damping in units of the largest would freeze it.
            along = float(curvature / torch.dot(d, d))
            soft = min(1.0, along / model.scale) if model.scale > 0 else 1.0
            if trial.is_accepted:
                damping = damping / 4 if trial.gain > _GOOD else damping
                return replace(
                    state,
                    x=trial.evaluation.x,
                    evaluation=trial.evaluation,
                    damping=damping if damping > _NO_DAMPING * soft else 0.0,
                    step_size=1.0,
                    rejected=rejected,
                )
            damping = max(4 * damping, _LEAST_DAMPING * soft)
        return replace(state, damping=damping, rejected=self.max_trials, failure=Status.STALLED)

    def _plain(self, problem: Problem, state: NewtonState, H: Tensor) -> NewtonState:
        g = state.here.gradient
        factor, is_definite = definite_factor(H)
        state = replace(state, step=state.step + 1, negative_curvature=not is_definite and is_indefinite(H))
        if is_definite:
            d = torch.cholesky_solve(-g[:, None], factor)[:, 0]
        else:
            d, info = torch.linalg.solve_ex(H, -g)
            if int(info) != 0:
                return replace(state, failure=Status.STALLED)
        there = problem.train.evaluate(state.x + d)
        if not there.is_finite():
            return replace(state, failure=Status.DIVERGED)
        return replace(state, x=there.x, evaluation=there, step_size=1.0)

    def _leave_saddle(self, problem: Problem, state: NewtonState, vector: Tensor) -> NewtonState | None:
        """Go along +-vector while f falls, from a step of `first_radius` or a shorter one; None where f never falls."""
        here, best = state.here, state.here
        t, trials = first_radius(here.x), 0
        while trials < self.max_trials:
            there, trials = problem.train.evaluate(here.x + t * vector), trials + 1
            if _is_lower(there, best):
                best, t = there, 2 * t
            elif best is not here:
                break
            else:  # the other side, and after both a shorter step
                t = -t if t > 0 else -t / 4
        if best is here:
            return None
        length = float(torch.linalg.vector_norm(best.x - here.x))
        return replace(state, x=best.x, evaluation=best, step_size=length, rejected=0)

    def columns(self, state: NewtonState) -> dict[str, float]:
        return {"damping": state.damping, "rejected_steps": state.rejected}

    def insight(self, state: NewtonState) -> Insight:
        return Insight(
            eigenvalues=state.eigenvalues,
            eigenvalues_step=state.eigenvalues_step,
            negative_curvature=state.negative_curvature,
        )


def _stationary(x: Tensor) -> float:
    """A gradient of at most this, in units of |lambda|max, is next to none: a Newton step of it hardly moves x."""
    return math.sqrt(torch.finfo(x.dtype).eps) * first_radius(x)


def _is_lower(there: Evaluation, best: Evaluation) -> bool:
    return there.is_finite() and bool(there.value < best.value)
