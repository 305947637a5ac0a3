"""Backtracking to sufficient decrease."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linesearch.base import Line, LineSearch, LineSearchResult, Trial
from hessrun.objective import Evaluation, Objective
from hessrun.options import between, integer


@dataclass(frozen=True)
class Armijo(LineSearch):
    """Backtracking until f(x + t d) <= f + c1 t g'd (Nocedal & Wright, 2006, algorithm 3.1).

    The next t minimises the parabola through phi(0), phi'(0) and phi(t), kept within [0.1, 0.5] t.

    c1: sufficient decrease, in (0, 1); max_evaluations: trials before it gives up, 1 or above.
    """

    c1: float = 1e-4
    max_evaluations: int = 30

    def __post_init__(self) -> None:
        between("c1", self.c1, 0, 1)
        integer("max_evaluations", self.max_evaluations, minimum=1)

    def search(self, objective: Objective, start: Evaluation, direction: Tensor, first_step: float) -> LineSearchResult:
        line = Line(objective, start, direction)
        if not line.descends:
            return line.give_up()
        t = first_step
        for _ in range(self.max_evaluations):
            trial = line.at(t)
            if trial.is_finite and trial.value <= line.start.value + self.c1 * t * line.start.slope:
                if trial.value == line.start.value and torch.equal(trial.evaluation.x, start.x):
                    break  # the sum x + t d is x, and what is asked of f is below its rounding
                return line.accept(trial)
            t = _shorter(line.start, trial)
        return line.give_up()


def _shorter(start: Trial, trial: Trial) -> float:
    if not trial.is_finite:
        return 0.1 * trial.t
    excess = trial.value - start.value - trial.t * start.slope
    parabola = -0.5 * start.slope * trial.t * trial.t / excess if excess > 0 else 0.5 * trial.t
    return min(0.5 * trial.t, max(0.1 * trial.t, parabola))
