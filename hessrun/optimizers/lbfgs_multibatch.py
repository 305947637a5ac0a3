"""Stochastic L-BFGS: every pair comes from one batch, and no search looks across batches."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from hessrun.linalg.broyden_family import powell_weight
from hessrun.linalg.host import numbers
from hessrun.linalg.limited_memory import LimitedMemory
from hessrun.linesearch import LineSearchResult
from hessrun.linesearch.base import Line
from hessrun.objective import Evaluation, Objective
from hessrun.optimizers.base import Approximation, Insight, Optimizer, State
from hessrun.optimizers.quasi_newton import first_step
from hessrun.optimizers.schedules import Constant, Schedule
from hessrun.options import choice, integer, positive
from hessrun.problems.problem import Problem
from hessrun.status import Status

_SUFFICIENT_DECREASE = 1e-4
# A mean over a batch is known to a few roundings: steps that change it by less are not refused.
_NOISE = 8
# Batches in a row that allow no step. One may be at fault by itself; so many say that x is.
_PATIENCE = 10


@dataclass(kw_only=True)
class LBFGSMultibatchState(State):
    """memory: the approximation H from the last m pairs.

    skipped_pairs: pairs without curvature, not taken up; damped_pairs: pairs taken up after Powell's damping;
    restarts: how often the memory was dropped because its direction led nowhere; trials: of the last step.
    failed_steps: steps that found no lower value on their batch; failed_in_a_row: the latest of them, until x moves.
    """

    memory: LimitedMemory
    skipped_pairs: int = 0
    damped_pairs: int = 0
    restarts: int = 0
    trials: int = 0
    failed_steps: int = 0
    failed_in_a_row: int = 0


@dataclass(frozen=True)
class LBFGSMultibatch(Optimizer[LBFGSMultibatchState]):
    """x+ = x - t H g(x), with H from pairs s = x+ - x and y = g(x+) - g(x), both gradients g on the step's own batch.

    The multi-batch method with full overlap (Berahas, Nocedal and Takáč, 2016, section 2; Schraudolph, Yu and Günter,
    2007), with Powell's damping of pairs whose y's < 0.2 s'B s (Nocedal & Wright, 2006, procedure 18.2). H0 is scaled
    by the pair as it was damped. A step costs two gradients of its batch, and one more for each trial refused.

    lr: the step length t tried first, above 0; a smaller last batch of an epoch has its share of it. While there is no
        pair, the first trial moves x by min(lr, 1) max(0.1 |x|, 1e-3).
    max_trials: of one step, 1 or above. t is halved until f(x - t H g) <= f(x) - 1e-4 t g'H g on the same batch, to
        rounding, and divided by ten where f or its gradient is not finite. Where none will do, the memory is dropped
        and -g tried instead; then x stays. Ten batches in a row without a step end the run.
    memory: pairs kept, m, 1 or above.
    initial_scaling: of the matrix before the pairs: `diagonal`, `every`, `first` or `none`, as for `LBFGS`.
    batch_size: examples of a batch, 1 or above, a tenth of all or more for curvature that is worth its price; None
        takes the whole training split, whose last gradient is kept: this is L-BFGS with damping and backtracking, of
        one gradient a step.
    schedule: a factor on lr by step.

    Raises OptionError for values outside these ranges.
    """

    state_type: ClassVar[type[State]] = LBFGSMultibatchState

    lr: float = 1.0
    max_trials: int = 10
    memory: int = 10
    initial_scaling: str = "diagonal"
    batch_size: int | None = None
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        positive("lr", self.lr)
        integer("max_trials", self.max_trials, minimum=1)
        integer("memory", self.memory, minimum=1)
        choice("initial_scaling", self.initial_scaling, ("diagonal", "every", "first", "none"))
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, minimum=1)

    @property
    def is_stochastic(self) -> bool:
        return self.batch_size is not None

    def init(self, problem: Problem) -> LBFGSMultibatchState:
        memory = LimitedMemory.empty(problem.x0, memory=self.memory, scaling=self.initial_scaling)
        here = None if self.is_stochastic else problem.train.evaluate(problem.x0)
        return LBFGSMultibatchState(x=problem.x0, evaluation=here, memory=memory)

    def step(self, problem: Problem, state: LBFGSMultibatchState) -> LBFGSMultibatchState:
        rate, memory, restarts = self.lr * self.schedule.factor(state.step), state.memory, state.restarts
        if rate == 0:  # the end of a schedule
            return replace(state, step=state.step + 1, step_size=0.0, trials=0)
        batch = problem.train if self.batch_size is None else problem.minibatch(state.step, self.batch_size)
        # An epoch's last batch may be a handful of examples: it moves x by no more than its share.
        rate *= batch.n_batch / min(self.batch_size or batch.n_examples, batch.n_examples)
        here = batch.evaluate(state.x) if self.is_stochastic else state.here
        direction = -memory.product(here.gradient)
        found = self._backtrack(batch, here, direction, memory, rate)
        trials = found.evaluations
        if found.step == 0 and memory.count > 0 and here.is_finite():
            memory.restart()
            direction, restarts = -here.gradient, restarts + 1
            found = self._backtrack(batch, here, direction, memory, rate)
            trials += found.evaluations
        state = replace(state, step=state.step + 1, trials=trials, restarts=restarts)
        if found.step == 0:
            return self._stayed(state, here, Status.LINE_SEARCH_FAILED)
        there = found.accepted
        s, y = there.x - here.x, there.gradient - here.gradient
        largest, ys, sg = numbers(s.abs().amax(), torch.dot(y, s), torch.dot(s, here.gradient))
        if largest == 0:
            return self._stayed(state, here, Status.STALLED)
        theta = 1.0
        s_bs = -found.step * sg  # B s = -t g. Before the first pair there is no B to go by.
        if memory.count > 0 and 0 < s_bs < math.inf:
            theta = powell_weight(ys, s_bs)
        if theta < 1:
            y = torch.add(theta * y, here.gradient, alpha=-(1 - theta) * found.step)
        taken = memory.update(s, y, curvature=torch.finfo(s.dtype).eps)
        return replace(
            state,
            x=there.x,
            evaluation=None if self.is_stochastic else there,
            step_size=found.step,
            skipped_pairs=state.skipped_pairs + (not taken),
            damped_pairs=state.damped_pairs + (taken and theta < 1),
            failed_in_a_row=0,
        )

    def _backtrack(
        self, batch: Objective, here: Evaluation, direction: Tensor, memory: LimitedMemory, rate: float
    ) -> LineSearchResult:
        """Nocedal & Wright (2006), algorithm 3.1, on the batch that gave the direction."""
        line = Line(batch, here, direction)
        if not line.descends:
            return line.give_up()
        t = rate if memory.count > 0 else min(rate, 1.0) * first_step(here.x, direction)
        level = line.start.value + _NOISE * torch.finfo(here.x.dtype).eps * abs(line.start.value)
        for _ in range(self.max_trials):
            trial = line.at(t)
            if trial.is_finite and trial.value <= level + _SUFFICIENT_DECREASE * t * line.start.slope:
                return line.accept(trial)
            t *= 0.5 if trial.is_finite else 0.1
        return line.give_up()

    def _stayed(self, state: LBFGSMultibatchState, here: Evaluation, reason: Status) -> LBFGSMultibatchState:
        """Nothing was found on this batch. The next one may lead on, where there is another."""
        is_finite = here.is_finite()
        if is_finite and not here.gradient.any():
            return replace(state, step_size=0.0, failure=None if self.is_stochastic else Status.STALLED)
        in_a_row, failure = state.failed_in_a_row + 1, None
        if in_a_row >= _PATIENCE or not self.is_stochastic:
            failure = reason if is_finite else Status.DIVERGED
        return replace(
            state, step_size=0.0, failed_steps=state.failed_steps + 1, failed_in_a_row=in_a_row, failure=failure
        )

    def columns(self, state: LBFGSMultibatchState) -> dict[str, float]:
        return {
            "skipped_pairs": state.skipped_pairs,
            "damped_pairs": state.damped_pairs,
            "restarts": state.restarts,
            "trials": state.trials,
            "failed_steps": state.failed_steps,
        }

    def insight(self, state: LBFGSMultibatchState) -> Insight:
        learned = state.memory.newest if state.memory.count > 0 else None
        return Insight(approximation=Approximation(state.memory, is_inverse=True, learned=learned))
