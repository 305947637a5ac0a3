"""Newton's method in a trust region, with the exact Hessian."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from hessrun.linalg.cholesky import require_factors
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.trust_region import TrustRegionModel, TrustRegionStep
from hessrun.optimizers.base import Insight, Optimizer, State
from hessrun.optimizers.trust_region import Trial, attempt, first_radius, is_exhausted, next_radius
from hessrun.options import between, integer, positive
from hessrun.problems.problem import Problem
from hessrun.status import Status


@dataclass(kw_only=True)
class NewtonTrustState(State):
    """radius: of the next trial; multiplier: lambda of the last subproblem; rejected: trials refused by the last step;
    negative_curvature: whether the last Hessian was found indefinite by more than rounding, None before the first look.
    """

    radius: float
    multiplier: float = 0.0
    rejected: int = 0
    negative_curvature: bool | None = None


@dataclass(frozen=True)
class NewtonTrust(Optimizer[NewtonTrustState]):
    """x+ = x + d, d the minimiser of g'd + 1/2 d'H d over |d| <= radius (Nocedal & Wright, 2006, algorithm 4.1; the
    subproblem by algorithm 4.3 and the hard case).

    It needs no modification of an indefinite Hessian, leaves saddles along negative curvature, and evaluates no new
    Hessian where a trial is refused.

    initial_radius: in units of x, above 0; by default max(0.01 |x0|, 1e-3), enlarged within the first step.
    accuracy: how near the boundary a subproblem's solution must lie, relative to the radius, in (0, 1).
    max_trials: trials of one step before it gives up, 1 or above.
    """

    state_type: ClassVar[type[State]] = NewtonTrustState

    initial_radius: float | None = None
    accuracy: float = 0.1
    max_trials: int = 60

    def __post_init__(self) -> None:
        if self.initial_radius is not None:
            positive("initial_radius", self.initial_radius)
        between("accuracy", self.accuracy, 0, 1)
        integer("max_trials", self.max_trials, minimum=1)

    def init(self, problem: Problem) -> NewtonTrustState:
        x = problem.x0
        require_factors(x.dtype, what="Newton's method")
        require_matrices(3, len(x), x.dtype, x.device, what="Newton's method", instead="optimizer=newton_cg")
        return NewtonTrustState(x=x, evaluation=problem.train.evaluate(x), radius=self._first_radius(x))

    def _first_radius(self, x: Tensor) -> float:
        return first_radius(x) if self.initial_radius is None else float(self.initial_radius)

    def step(self, problem: Problem, state: NewtonTrustState) -> NewtonTrustState:
        here, radius, multiplier = state.here, state.radius, state.multiplier
        H = problem.train.hessian(here.x)
        if not bool(H.isfinite().all()):
            return replace(state, step=state.step + 1, failure=Status.DIVERGED)
        model = TrustRegionModel(H, here.gradient)
        taken: tuple[TrustRegionStep, Trial] | None = None
        rejected = 0
        for _ in range(self.max_trials):
            if is_exhausted(here.x, radius):
                break
            found = model.solve(radius, guess=multiplier, tolerance=self.accuracy)
            if found.length == 0:  # a minimum of the model: there is nothing to try
                break
            trial = attempt(problem.train, here, found.d, found.predicted)
            multiplier = found.multiplier
            if not trial.is_accepted:
                rejected += 1
                radius = next_radius(radius, trial.gain, found.length, found.on_boundary)
                if taken is not None:
                    break
                continue
            if taken is None or trial.evaluation.value < taken[1].evaluation.value:
                taken = found, trial
            radius = next_radius(radius, trial.gain, found.length, found.on_boundary)
            # The first radius is a guess from x's scale alone: enlarge it while the model holds.
            if state.step > 0 or taken[1] is not trial or trial.gain < 0.75 or not found.on_boundary:
                break
        state = replace(
            state,
            step=state.step + 1,
            radius=radius,
            multiplier=multiplier,
            rejected=rejected,
            negative_curvature=model.is_indefinite,
        )
        if taken is None:
            return replace(state, radius=self._first_radius(here.x), failure=Status.STALLED)
        found, trial = taken
        return replace(state, x=trial.evaluation.x, evaluation=trial.evaluation, step_size=found.length)

    def columns(self, state: NewtonTrustState) -> dict[str, float]:
        return {"radius": state.radius, "multiplier": state.multiplier, "rejected_steps": state.rejected}

    def insight(self, state: NewtonTrustState) -> Insight:
        return Insight(negative_curvature=state.negative_curvature)
