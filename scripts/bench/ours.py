"""Drives hessrun's optimizers step by step, on the optimizer's clock alone."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.setting import Setting
from hessrun.objective import Objective
from hessrun.optimizers import Optimizer
from hessrun.problems import AnalyticProblem, Problem, ProblemFacts


@dataclass(frozen=True)
class Arrival:
    """When a loss was reached; infinite where it was not. evaluations: values and gradients; loss: the last one."""

    evaluations: float
    seconds: float
    steps: int
    loss: float


def analytic(objective: Objective, x0: Tensor) -> AnalyticProblem:
    """An objective and its start as a problem."""
    return AnalyticProblem(objective, x0, ProblemFacts("function", "analytic", objective.dim, objective.n_examples))


def evaluations(problem: Problem) -> float:
    """Passes of values and gradients so far."""
    counts = problem.train.counts
    return counts.values + counts.gradients


def run_to(
    optimizer: Optimizer[Any],
    problem: Problem,
    target: float,
    *,
    setting: Setting,
    max_steps: int = 10**9,
    max_seconds: float = math.inf,
) -> Arrival:
    """Step until the training loss is at most `target`, the method gives up, or a limit is reached.

    The loss is read after every step; it is the clock's business, as it would be a user's.
    """
    before, start = evaluations(problem), setting.now()
    state = optimizer.init(problem)
    while True:
        loss, seconds = float(state.here.value), setting.now() - start
        if loss <= target:
            return Arrival(evaluations(problem) - before, seconds, state.step, loss)
        if state.failure is not None or state.step >= max_steps or seconds > max_seconds or math.isnan(loss):
            return Arrival(math.inf, math.inf, state.step, loss)
        state = optimizer.step(problem, state)
