"""The symmetric-rank-one method in a trust region."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.broyden_family import symmetric_rank_one
from hessrun.linalg.conjugate_gradients import Step, steihaug
from hessrun.linalg.host import numbers
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix, matrices_needed
from hessrun.optimizers.base import Approximation, Insight, Optimizer, State
from hessrun.optimizers.trust_region import attempt, first_radius, is_exhausted
from hessrun.options import between, boolean, integer, positive
from hessrun.problems.problem import Problem
from hessrun.status import Status


@dataclass(kw_only=True)
class SR1State(State):
    """memory: B, the approximation of the Hessian, or None before the first trial; learned: the newest pair s, y that
    it took up; radius: of the next trial; skipped_pairs: those whose denominator was too small; rejected: trials
    refused by the last step; negative_curvature: whether its model had any, None before the first look.
    """

    memory: QuasiNewtonMatrix | None = None
    learned: list[Tensor] | None = None
    radius: float
    skipped_pairs: int = 0
    rejected: int = 0
    negative_curvature: bool | None = None


@dataclass(frozen=True)
class SR1(Optimizer[SR1State]):
    """B+ = B + r r'/r's with r = y - B s, steps by a trust region (Nocedal & Wright, 2006, algorithm 6.2).

    B may be indefinite and converges to the Hessian itself where BFGS does not; every trial teaches it, accepted or
    not. The subproblem is solved by conjugate gradients (ibid., algorithm 7.2), O(n^2) a product.

    skip: r, a pair is skipped where |r's| < skip |r||s| (eq. 6.26), in (0, 1).
    initial_radius: in units of x, above 0; by default max(0.01 |x0|, 1e-3).
    tolerance: of the subproblem's residual, relative to |g|, in (0, 1).
    max_trials: trials of one step before it gives up, 1 or above.
    block: updates held apart before they are folded into the matrix, 1 or above; by default about sqrt(n).
    diagnose: record at every row, off the clock, how far B is from what it should be (`hessrun.curvature.diagnose`).
    """

    state_type: ClassVar[type[State]] = SR1State

    skip: float = 1e-8
    initial_radius: float | None = None
    tolerance: float = 0.01
    max_trials: int = 60
    block: int | None = None
    diagnose: bool = False

    def __post_init__(self) -> None:
        between("skip", self.skip, 0, 1)
        between("tolerance", self.tolerance, 0, 1)
        integer("max_trials", self.max_trials, minimum=1)
        boolean("diagnose", self.diagnose)
        if self.initial_radius is not None:
            positive("initial_radius", self.initial_radius)
        if self.block is not None:
            integer("block", self.block, minimum=1)

    @property
    def is_diagnosed(self) -> bool:
        return self.diagnose

    def init(self, problem: Problem) -> SR1State:
        x = problem.x0
        needed = matrices_needed(len(x), self.block)
        require_matrices(needed, len(x), x.dtype, x.device, what="SR1", instead="optimizer=lbfgs")
        radius = first_radius(x) if self.initial_radius is None else float(self.initial_radius)
        return SR1State(x=x, evaluation=problem.train.evaluate(x), radius=radius)

    def step(self, problem: Problem, state: SR1State) -> SR1State:
        here = state.here
        state = replace(state, step=state.step + 1, rejected=0)
        while state.rejected < self.max_trials and not is_exhausted(here.x, state.radius):
            found = self._subproblem(state.memory, here.gradient, state.radius)
            trial = attempt(problem.train, here, found.d, found.decrease)
            y = trial.evaluation.gradient - here.gradient
            state = replace(self._taught(state, found.d, y), negative_curvature=found.negative_curvature)
            # Algorithm 6.2: the radius shrinks below a gain of 0.1 and grows above 0.75.
            if trial.gain < 0.1:
                state.radius = 0.5 * min(found.length, state.radius) if trial.is_accepted else 0.25 * found.length
            elif trial.gain > 0.75 and found.length > 0.8 * state.radius:
                state.radius *= 2
            if trial.is_accepted:
                there = trial.evaluation
                return replace(state, x=there.x, evaluation=there, step_size=found.length)
            state.rejected += 1
        return replace(state, failure=Status.STALLED)

    def _subproblem(self, memory: QuasiNewtonMatrix | None, gradient: Tensor, radius: float) -> Step:
        multiply = torch.zeros_like if memory is None else memory.product
        return steihaug(multiply, gradient, radius, self.tolerance, len(gradient))

    def _taught(self, state: SR1State, s: Tensor, y: Tensor) -> SR1State:
        """The state after B has taken up the pair, if its denominator allows."""
        memory = state.memory
        ss, sy, yy = numbers(torch.dot(s, s), torch.dot(s, y), torch.dot(y, y))
        skipped = replace(state, skipped_pairs=state.skipped_pairs + 1)
        if not (0 < ss < math.inf and 0 < yy < math.inf):
            return skipped
        if memory is None:
            # The size of the Hessian along y, as BFGS begins (eq. 6.20).
            scale = yy / abs(sy) if sy != 0 else math.sqrt(yy / ss)
            memory = QuasiNewtonMatrix.identity(s, scale=scale, block=self.block)
        r = y - memory.product(s)
        rs, rr = numbers(torch.dot(r, s), torch.dot(r, r))
        if rs == 0 or not abs(rs) >= self.skip * math.sqrt(rr) * math.sqrt(ss):
            return replace(skipped, memory=memory)
        update = symmetric_rank_one(rs)
        if not update.fits(s.dtype):
            return replace(skipped, memory=memory)
        memory.update(s, r, update)
        return replace(state, memory=memory, learned=[s, y])

    def refresh(self, problem: Problem, state: SR1State) -> SR1State:
        return replace(state, evaluation=problem.train.evaluate(state.x))

    def columns(self, state: SR1State) -> dict[str, float]:
        return {"radius": state.radius, "skipped_pairs": state.skipped_pairs, "rejected_steps": state.rejected}

    def insight(self, state: SR1State) -> Insight:
        known = None if state.memory is None else Approximation(state.memory, is_inverse=False, learned=state.learned)
        return Insight(approximation=known, negative_curvature=state.negative_curvature)
