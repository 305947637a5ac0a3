"""The frame of the line-search quasi-Newton methods: direction, search, pair, next direction."""

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.linalg.norms import norm
from hessrun.linalg.quasi_newton_matrix import SymmetricMatrix
from hessrun.linesearch import LineSearch, LineSearchResult, StrongWolfe
from hessrun.objective import Evaluation
from hessrun.optimizers.base import Approximation, Insight, Optimizer, State
from hessrun.options import boolean
from hessrun.problems.problem import Problem

M = TypeVar("M", bound=SymmetricMatrix)


@dataclass(kw_only=True)
class QuasiNewtonState(State, Generic[M]):
    """memory: the approximation H; direction: -H g at x; learned: s and y of the newest pair that H took up.

    skipped_pairs, damped_pairs: pairs whose curvature was too low; restarts: how often the memory was dropped because
    its direction led nowhere; searched: trials of the last search.
    """

    memory: M
    direction: Tensor
    learned: list[Tensor] | None = None
    skipped_pairs: int = 0
    damped_pairs: int = 0
    restarts: int = 0
    searched: int = 0


@dataclass(frozen=True)
class Pair:
    """What a step taught: f at x and at x+, and the direction and step length that led there."""

    here: Evaluation
    there: Evaluation
    direction: Tensor
    step: float


@dataclass(frozen=True)
class Lesson:
    """What became of a pair. direction: -H+ g+; learned: s and y as H took them up, or None where the pair was skipped;
    damped: whether y was mixed with B s first.
    """

    direction: Tensor
    learned: list[Tensor] | None = None
    damped: bool = False


def first_step(x: Tensor, direction: Tensor) -> float:
    """The step length that moves x by max(0.1 |x|, 1e-3): all that is known before the first pair is x's scale."""
    largest, size = numbers(direction.abs().amax(), torch.linalg.vector_norm(x))
    if not 0 < largest < math.inf:
        return 1.0
    # The norm of a gradient may overflow in float32 where its components do not.
    length = float(largest * torch.linalg.vector_norm(direction / largest))
    size = size if size < math.inf else norm(x)
    return float(max(0.1 * size, 1e-3) / length)


@dataclass(frozen=True)
class QuasiNewton(Optimizer[QuasiNewtonState[M]], Generic[M]):
    """Line-search methods whose direction is -H g, H an approximation of the Hessian's inverse that learns from pairs.

    line_search: how far to go along -H g.

    diagnose: record at every row, off the clock, how far H is from what it should be (`hessrun.curvature.diagnose`).
    """

    line_search: LineSearch = field(default_factory=StrongWolfe)
    diagnose: bool = False

    def __post_init__(self) -> None:
        boolean("diagnose", self.diagnose)

    @property
    def is_diagnosed(self) -> bool:
        return self.diagnose

    @abstractmethod
    def _empty(self, x: Tensor) -> M:
        """The memory before any pair: a multiple of the identity."""

    @abstractmethod
    def _is_empty(self, memory: M) -> bool: ...

    @abstractmethod
    def _learn(self, memory: M, pair: Pair) -> Lesson:
        """Take the pair up, in place, if its curvature allows."""

    def init(self, problem: Problem) -> QuasiNewtonState[M]:
        memory = self._empty(problem.x0)
        here = problem.train.evaluate(problem.x0)
        return self._state(memory, here)

    def _state(self, memory: M, here: Evaluation) -> QuasiNewtonState[M]:
        return self.state_type(x=here.x, evaluation=here, memory=memory, direction=-here.gradient)  # type: ignore[call-arg, return-value]

    def step(self, problem: Problem, state: QuasiNewtonState[M]) -> QuasiNewtonState[M]:
        here, direction, memory, restarts = state.here, state.direction, state.memory, state.restarts
        found = self._search(problem, here, direction, memory)
        searched = found.evaluations
        if found.step == 0 and not self._is_empty(memory):
            # The model misleads: begin again from steepest descent.
            memory, direction, restarts = self._empty(here.x), -here.gradient, restarts + 1
            state.learned = None
            found = self._search(problem, here, direction, memory)
            searched += found.evaluations
        if found.step > 0:
            after = self._moved(state, direction, memory, found)
        else:
            after = replace(state, direction=direction, failure=found.failure)
        after.step, after.memory, after.restarts, after.searched = state.step + 1, memory, restarts, searched
        return after

    def _moved(
        self, state: QuasiNewtonState[M], direction: Tensor, memory: M, found: LineSearchResult
    ) -> QuasiNewtonState[M]:
        """The state at the point that was found, with what the step there taught."""
        there = found.accepted
        lesson = self._learn(memory, Pair(state.here, there, direction, found.step))
        return replace(
            state,
            x=there.x,
            evaluation=there,
            step_size=found.step,
            direction=lesson.direction,
            learned=lesson.learned or state.learned,
            skipped_pairs=state.skipped_pairs + (lesson.learned is None),
            damped_pairs=state.damped_pairs + lesson.damped,
        )

    def _search(self, problem: Problem, here: Evaluation, direction: Tensor, memory: M) -> LineSearchResult:
        t = first_step(here.x, direction) if self._is_empty(memory) else 1.0
        return self.line_search.search(problem.train, here, direction, t)

    def refresh(self, problem: Problem, state: QuasiNewtonState[M]) -> QuasiNewtonState[M]:
        here = problem.train.evaluate(state.x)
        return replace(state, evaluation=here, direction=-state.memory.product(here.gradient))

    def columns(self, state: QuasiNewtonState[M]) -> dict[str, float]:
        return {
            "skipped_pairs": state.skipped_pairs,
            "damped_pairs": state.damped_pairs,
            "restarts": state.restarts,
            "line_search_evaluations": state.searched,
        }

    def insight(self, state: QuasiNewtonState[M]) -> Insight:
        return Insight(approximation=Approximation(state.memory, is_inverse=True, learned=state.learned))
