"""The frame of the methods that solve for their step by conjugate gradients, on products with a curvature matrix."""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.conjugate_gradients import ConjugateGradientPath, Multiply
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
# Lengths tried along a direction of negative curvature, and doublings of the first that leads down.
_LENGTHS, _DOUBLINGS = 6, 40


@dataclass(kw_only=True)
class InexactNewtonState(State):
    """first_gradient: largest component of the first gradient; cg_iterations: products of the last step.

    negative_curvature: whether the last step met any, None where it is unknown; examined: near this stationary point a
    search for negative curvature, from a random direction, has found none.
    """

    first_gradient: float = 0.0
    cg_iterations: int = 0
    negative_curvature: bool | None = None
    examined: bool = False


S = TypeVar("S", bound=InexactNewtonState)


@dataclass(frozen=True)
class InexactNewton(Optimizer[S], Generic[S]):
    """forcing: conjugate gradients stop at a residual of min(forcing, sqrt(|g| / |g0|)) |g|, in (0, 1), so that the
    convergence is superlinear (Nocedal & Wright, 2006, section 7.1).
    max_cg_iterations: products of one step at most, 1 or above; by default n, or 200 where n is larger.
    batch_size: examples of a step's value and gradient, at x and at the trials alike, 1 or above; None takes all.
    product_batch_size: examples of its products, 1 or above; None takes those of the gradient (Byrd, Chin, Neveitt and
    Nocedal, 2011). Batches are pure functions of the seed and the step.
    product_dtype: `float32` computes the products, and nothing else, in single precision, which an inexact step can
    bear; None in the objective's own.

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

    def step(self, problem: Problem, state: S) -> S:
        objective = problem.train if self.batch_size is None else problem.minibatch(state.step, self.batch_size)
        sample, size = objective, self.product_batch_size
        if size is not None:
            sample = problem.minibatch(state.step, size)
        here = objective.evaluate(state.x) if self.is_stochastic else state.here
        largest = float(here.gradient.abs().amax())
        state = replace(state, step=state.step + 1, first_gradient=state.first_gradient or largest, cg_iterations=0)
        if not (math.isfinite(largest) and here.is_finite()):
            return replace(state, failure=Status.DIVERGED)
        with sample.curvature(here.x, kind=self.kind, dtype=self._dtype) as B:
            if self._must_examine(state, largest):
                left = self._leave_saddle(objective, state, here, B)
                if left is not None:
                    return left
                state = replace(state, examined=True, negative_curvature=False)
            if largest == 0:
                return state if self.is_stochastic else replace(state, failure=Status.STALLED)
            tolerance = min(self.forcing, math.sqrt(largest / state.first_gradient))
            state = self._advance(objective, state, here, B, tolerance)
        if self.is_stochastic:
            return replace(state, evaluation=None, failure=None)
        return self._judged(state)

    def _judged(self, state: S) -> S:
        """Near a stationary point that was not examined, it is unknown whether there is negative curvature."""
        largest = float(state.here.gradient.abs().amax())
        is_near = largest <= _NEAR_STATIONARY * state.first_gradient
        if is_near and not state.examined and self.seeks_saddles and not state.negative_curvature:
            return replace(state, negative_curvature=None)
        return replace(state, examined=state.examined and is_near)

    def _must_examine(self, state: S, largest: float) -> bool:
        is_near = largest <= _NEAR_STATIONARY * state.first_gradient
        return self.seeks_saddles and not self.is_stochastic and is_near and not state.examined

    def _leave_saddle(self, objective: Objective, state: S, here: Evaluation, B: Curvature) -> S | None:
        """Along a direction of negative curvature to a lower f, or None where there is none."""
        vector, state.cg_iterations = negative_direction(B, here.x, self._limit(here.x))
        there = None if vector is None else descend(objective, here, vector)
        if there is None:
            return None
        length = float(torch.linalg.vector_norm(there.x - here.x))
        return replace(state, x=there.x, evaluation=there, step_size=length, negative_curvature=True)

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
        return self.max_cg_iterations or min(len(x), _MOST_ITERATIONS)

    def refresh(self, problem: Problem, state: S) -> S:
        state = super().refresh(problem, state)
        return replace(state, negative_curvature=None, examined=False)

    def insight(self, state: S) -> Insight:
        return Insight(negative_curvature=state.negative_curvature if self.seeks_saddles else False)


def negative_direction(B: Curvature, x: Tensor, limit: int) -> tuple[Tensor | None, int]:
    """A direction [n] of unit length with v'B v < -sqrt(eps) |lambda|max, or None, and the products made.

    Conjugate gradients on a random right side b: as long as they meet no negative curvature the part of the residual
    along an eigenvector of a negative eigenvalue grows, so that a residual well below |b| / sqrt(n) rules one out, but
    for a share of about 1 % of all b (compare Royer, O'Neill and Wright, 2020, appendix B). `limit`: products at most.
    """
    b = torch.randn(len(x), generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(x)
    path = ConjugateGradientPath(
        B.__matmul__, b, tolerance=0.01 / math.sqrt(len(x)), max_iterations=limit, precision=B.precision
    )
    found = path.step(math.inf)
    if found.direction is None:
        return None, path.products
    v = found.direction / torch.linalg.vector_norm(found.direction)
    # What is negative by rounding alone, as in the null space of a singular matrix, leads nowhere.
    is_negative = path.curvatures[-1] < -math.sqrt(B.precision) * max(map(abs, path.curvatures))
    return (v if is_negative else None), path.products


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
