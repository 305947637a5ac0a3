"""The Levenberg-Marquardt method on the generalized Gauss-Newton matrix of a model's risk, by products."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.conjugate_gradients import ConjugateGradientPath
from hessrun.objective import Curvature, Evaluation, Objective
from hessrun.optimizers.base import State
from hessrun.optimizers.inexact_newton import InexactNewton, InexactNewtonState
from hessrun.optimizers.trust_region import attempt, first_radius, is_exhausted
from hessrun.options import integer, positive
from hessrun.status import Status

_POOR, _GOOD = 0.25, 0.75
_NO_DAMPING = 1e-6


@dataclass(kw_only=True)
class GaussNewtonState(InexactNewtonState):
    """damping: mu, in units of the matrix, None before the first step; rejected: trials that the last step refused."""

    damping: float | None = None
    rejected: int = 0


@dataclass(frozen=True)
class GaussNewton(InexactNewton[GaussNewtonState]):
    """x+ = x + d with (G + mu I) d = -g by conjugate gradients, G = 1/N sum_i J_i' H_i J_i the generalized Gauss-Newton
    matrix (Schraudolph, 2002; Martens, 2010) and mu Levenberg's (1944) and Marquardt's (1963) damping (Nocedal &
    Wright, 2006, section 10.3).

    The gain ratio (f - f+) / (decrease of the undamped model) below 1/4 raises mu fourfold, above 3/4 lowers it to a
    quarter, and in the end to 0. A refused trial costs a gradient and no product: the larger mu is solved for in the
    space that is there. G is positive semidefinite, so that it is blind to negative curvature.

    initial_damping: the first mu, in units of g'G g / g'g, above 0.
    max_trials: trials of one step before it gives up, 1 or above. The other options are those of `InexactNewton`.
    Raises OptionError where the objective is no model's risk.
    """

    state_type: ClassVar[type[State]] = GaussNewtonState
    kind: ClassVar[str] = "gauss_newton"
    seeks_saddles: ClassVar[bool] = False

    initial_damping: float = 1e-3
    max_trials: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("initial_damping", self.initial_damping)
        integer("max_trials", self.max_trials, minimum=1)

    def _start(self, x: Tensor, here: Evaluation | None) -> GaussNewtonState:
        return GaussNewtonState(x=x, evaluation=here)

    def _advance(
        self, objective: Objective, state: GaussNewtonState, here: Evaluation, B: Curvature, tolerance: float
    ) -> GaussNewtonState:
        first, state = self._first_damping(state, here, B)
        path = self._path(B, here, tolerance, shift=first)
        walked = path.step(math.inf)
        state.cg_iterations += path.products
        if walked.iterations == 0 and walked.negative_curvature:
            # G has no curvature along g, and the step no length unless it is damped.
            first = _scale(0.0, here)
            path = self._path(B, here, tolerance, shift=first)
            walked = path.step(math.inf)
            state.cg_iterations += path.products
        if walked.iterations == 0:
            return replace(state, failure=Status.DIVERGED)
        scale = _scale(max(path.curvatures) - first, here)
        mu = first
        for rejected in range(self.max_trials):
            model = path.shifted(mu - first)
            if is_exhausted(here.x, model.length):
                break
            undamped = model.decrease + 0.5 * first * model.length**2
            trial = attempt(objective, here, model.d, undamped)
            if trial.gain < _POOR:
                mu = _raised(mu, scale)
            elif trial.gain > _GOOD:
                mu = 0.25 * mu if 0.25 * mu > _NO_DAMPING * scale else 0.0
            if trial.is_accepted:
                there = trial.evaluation
                return replace(
                    state, x=there.x, evaluation=there, step_size=model.length, damping=mu, rejected=rejected
                )
        return replace(state, damping=mu, rejected=rejected, failure=Status.STALLED)

    def _first_damping(self, state: GaussNewtonState, here: Evaluation, B: Curvature) -> tuple[float, GaussNewtonState]:
        """mu of the first trial; at the very first step from one product with g."""
        if state.damping is not None:
            return state.damping, state
        probe = ConjugateGradientPath(B.__matmul__, here.gradient, tolerance=0.0, max_iterations=1)
        probe.step(math.inf)
        scale = _scale(probe.curvatures[0], here)
        return self.initial_damping * scale, replace(state, cg_iterations=probe.products)

    def columns(self, state: GaussNewtonState) -> dict[str, float]:
        return {
            "damping": 0.0 if state.damping is None else state.damping,
            "cg_iterations": state.cg_iterations,
            "rejected_steps": state.rejected,
        }


def _scale(curvature: float, here: Evaluation) -> float:
    """p'G p / p'p, or where that is 0 the damping with which d = -g / mu moves x by max(0.01 |x|, 1e-3)."""
    if curvature > 0:
        return curvature
    return float(torch.linalg.vector_norm(here.gradient)) / first_radius(here.x)


def _raised(mu: float, scale: float) -> float:
    return max(4 * mu, _NO_DAMPING * scale)
