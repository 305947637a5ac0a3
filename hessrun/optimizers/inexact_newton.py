"""The frame of the methods that solve for their step by conjugate gradients, on products with a curvature matrix."""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.conjugate_gradients import ConjugateGradientPath, Multiply
from hessrun.linalg.negative_curvature import negative_direction
from hessrun.linalg.norms import norm
from hessrun.objective import Curvature, Evaluation, Objective
from hessrun.optimizers.base import Insight, Optimizer, State
from hessrun.optimizers.trust_region import first_radius
from hessrun.options import between, choice, integer
from hessrun.problems.problem import Problem
from hessrun.status import Status

# Products of one step where no limit is set: what a network's step seldom needs.
_MOST_ITERATIONS = 200
# Below this share of the first gradient a point may be the end, and a saddle must not be taken for a minimum.
_NEAR_STATIONARY = 1e-5
# A search for negative curvature that these products, or four times those of the last, leave open goes on in the next
# step, so that a budget can end it; it is given up after so many times n.
_FIRST_LOOK, _LONGEST_LOOK = 200, 4
# Batches in a row that allow no step. One may be at fault by itself; so many say that x is.
_PATIENCE = 10
# Lengths tried along a direction of negative curvature, and doublings of the first that leads down.
_LENGTHS, _DOUBLINGS = 6, 40


@dataclass(kw_only=True)
class InexactNewtonState(State):
    """first_gradient, first_largest: 2-norm and largest component of the first gradient that is not 0; cg_iterations:
    products of the last step; failed_in_a_row: the latest steps that found nothing on their batch.

    negative_curvature: whether the last step met any, None where it is unknown. Near a stationary point: examined: a
    search from a random direction has found none; looked: products that the last search could have made.
    """

    first_gradient: float = 0.0
    first_largest: float = 0.0
    cg_iterations: int = 0
    negative_curvature: bool | None = None
    examined: bool = False
    looked: int = 0
    failed_in_a_row: int = 0


S = TypeVar("S", bound=InexactNewtonState)


@dataclass(frozen=True)
class InexactNewton(Optimizer[S], Generic[S]):
    """A method whose step is found by conjugate gradients on B d = -g, to a residual that falls with the gradient.

    forcing: conjugate gradients stop at a residual of min(forcing, sqrt(|g| / |g0|)) |g|, in (0, 1), so that the
    convergence is superlinear (Nocedal & Wright, 2006, section 7.1).
    max_cg_iterations: products of one step at most, 1 or above; by default n, or 200 where n is larger.
    batch_size: examples of a step's value and gradient, at x and at the trials alike, 1 or above; None takes all.
    product_batch_size: examples of its products, 1 or above; None takes those of the gradient (Byrd, Chin, Neveitt and
    Nocedal, 2011). Batches are pure functions of the seed and the step.
    product_dtype: `float32` computes the products, and nothing else, in single precision, which an inexact step can
    bear; None in the objective's own.

    On batches a step that finds nothing leaves x where it is; ten in a row end the run.

    kind: the matrix whose products are taken; seeks_saddles: it may be indefinite.
    """

    kind: ClassVar[str] = "hessian"
    seeks_saddles: ClassVar[bool] = True

    forcing: float = 0.5
    max_cg_iterations: int | None = None
    batch_size: int | None = None
    product_batch_size: int | None = None
    product_dtype: str | None = None

    def __post_init__(self) -> None:
        between("forcing", self.forcing, 0, 1)
        for name in ("max_cg_iterations", "batch_size", "product_batch_size"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), minimum=1)
        if self.product_dtype is not None:
            choice("product_dtype", self.product_dtype, ("float32", "float64"))

    @property
    def is_stochastic(self) -> bool:
        return self.batch_size is not None

    @abstractmethod
    def _start(self, x: Tensor, here: Evaluation | None) -> S:
        """The first state."""

    @abstractmethod
    def _advance(self, objective: Objective, state: S, here: Evaluation, B: Curvature, tolerance: float) -> S:
        """Where the step from `here` leads; the objective is that of this step's examples, B its curvature matrix."""

    def init(self, problem: Problem) -> S:
        kinds = problem.train.curvature_kinds()
        if self.kind not in kinds:
            raise OptionError(
                f"{type(self).__name__} needs the matrix {self.kind}, which a model's risk has; this objective has "
                f"{', '.join(kinds)}: use optimizer=newton_cg."
            )
        if self._dtype is not None:
            problem.train.in_dtype(self._dtype)
        return self._start(problem.x0, None if self.is_stochastic else problem.train.evaluate(problem.x0))

    @property
    def _dtype(self) -> torch.dtype | None:
        return {None: None, "float32": torch.float32, "float64": torch.float64}[self.product_dtype]

    def _in_product_dtype(self, x: Tensor) -> Tensor:
        """x [n] as the products take it: what their pairs are kept in is no more exact than they are."""
        return x if self._dtype is None else x.to(self._dtype)

    def step(self, problem: Problem, state: S) -> S:
        objective = problem.train if self.batch_size is None else problem.minibatch(state.step, self.batch_size)
        sample, size = objective, self.product_batch_size
        if size is not None:
            sample = problem.minibatch(state.step, size)
        here = objective.evaluate(state.x) if self.is_stochastic else state.here
        largest, length = float(here.gradient.abs().amax()), norm(here.gradient)
        state = replace(state, step=state.step + 1, cg_iterations=0)
        if not (math.isfinite(largest) and here.is_finite()):
            return self._ended(replace(state, failure=Status.DIVERGED))
        if state.first_gradient == 0:
            state = replace(state, first_gradient=length, first_largest=largest)
        if self._must_look(state, largest):
            state = self._look(objective, state, here)
            if state.evaluation is not here or self._must_look(state, largest):
                return state
        if largest == 0:
            return replace(state, step_size=0.0, failure=None if self.is_stochastic else Status.STALLED)
        # Nocedal & Wright (2006), section 7.1
        tolerance = min(self.forcing, math.sqrt(length / state.first_gradient))
        with sample.curvature(here.x, kind=self.kind, dtype=self._dtype) as B:
            return self._ended(self._advance(objective, state, here, B, tolerance))

    def _ended(self, state: S) -> S:
        """The state after its step: what it claims of the curvature, or on batches how often it has failed."""
        if not self.is_stochastic:
            return self._judged(state)
        if state.failure is None:
            return replace(state, evaluation=None, failed_in_a_row=0)
        failed = state.failed_in_a_row + 1
        failure = state.failure if failed >= _PATIENCE else None
        return replace(state, evaluation=None, step_size=0.0, failed_in_a_row=failed, failure=failure)

    def _judged(self, state: S) -> S:
        """Near a stationary point that was not examined, it is unknown whether there is negative curvature."""
        is_near = self._is_near(state, float(state.here.gradient.abs().amax()))
        if not is_near:
            return replace(state, examined=False, looked=0)
        if self.seeks_saddles and not state.examined and state.negative_curvature is not True:
            return replace(state, negative_curvature=None)
        return state

    def _is_near(self, state: S, largest: float) -> bool:
        # By the largest component, as a budget's tolerance: in the 2-norm a run might end before the look.
        return largest <= _NEAR_STATIONARY * state.first_largest

    def _must_look(self, state: S, largest: float) -> bool:
        is_open = not state.examined and state.looked < _LONGEST_LOOK * len(state.x)
        return self.seeks_saddles and not self.is_stochastic and is_open and self._is_near(state, largest)

    def _look(self, objective: Objective, state: S, here: Evaluation) -> S:
        """To a lower f along a direction of negative curvature, or where there is none, the state that says so.

        By products over all examples: a sample of them says nothing of a minimum of f.
        """
        most = _LONGEST_LOOK * len(here.x)
        limit = min(most, max(_FIRST_LOOK, 4 * state.looked))
        with objective.curvature(here.x, kind=self.kind, dtype=self._dtype) as B:
            look = negative_direction(B.__matmul__, here.x, precision=B.precision, max_products=limit)
        state = replace(state, cg_iterations=look.products, looked=limit, negative_curvature=None)
        if look.direction is None:
            return replace(state, examined=True, negative_curvature=False) if look.is_conclusive else state
        there = descend(objective, here, look.direction)
        if there is None:
            # Rounding of f hides the way down: no minimum is claimed, and another look would see the same.
            return replace(state, looked=most)
        length = float(torch.linalg.vector_norm(there.x - here.x))
        return replace(state, x=there.x, evaluation=there, step_size=length, looked=0, negative_curvature=True)

    def _path(
        self, B: Curvature, here: Evaluation, tolerance: float, precondition: Multiply | None = None, shift: float = 0.0
    ) -> ConjugateGradientPath:
        return ConjugateGradientPath(
            B.__matmul__ if shift == 0 else lambda v: B @ v + shift * v,
            here.gradient,
            tolerance=tolerance,
            max_iterations=self._limit(here.x),
            precondition=precondition,
            precision=B.precision,
        )

    def _limit(self, x: Tensor) -> int:
        return min(len(x), _MOST_ITERATIONS) if self.max_cg_iterations is None else self.max_cg_iterations

    def refresh(self, problem: Problem, state: S) -> S:
        before, state = state.evaluation, super().refresh(problem, state)
        here, state = state.evaluation, replace(state, negative_curvature=None)
        # The same function at the same point: what was looked for there need not be looked for again.
        if before is not None and here is not None and _are_the_same(before, here):
            return state
        return replace(state, examined=False, looked=0)

    def insight(self, state: S) -> Insight:
        return Insight(negative_curvature=state.negative_curvature if self.seeks_saddles else False)


def _are_the_same(one: Evaluation, other: Evaluation) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.gradient, other.gradient)


def descend(objective: Objective, here: Evaluation, vector: Tensor) -> Evaluation | None:
    """A point x + t v with a lower f, |t| doubled from max(0.01 |x|, 1e-3) while f falls; None where it does not.

    Both signs of t are tried, and shorter steps where neither leads down by more than rounding.
    """
    t, level = first_radius(here.x), 32 * torch.finfo(here.x.dtype).eps
    for _ in range(_LENGTHS):
        for sign in (1.0, -1.0):
            there = objective.evaluate(here.x + sign * t * vector)
            if not (there.is_finite() and bool(here.value - there.value > level * here.value.abs())):
                continue
            for power in range(1, _DOUBLINGS):
                beyond = objective.evaluate(here.x + sign * 2**power * t * vector)
                if not (beyond.is_finite() and bool(beyond.value < there.value)):
                    break
                there = beyond
            return there
        t /= 8
    return None
