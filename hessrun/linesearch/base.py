"""What a line search is given and what it gives back."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.objective import Evaluation, Objective
from hessrun.status import Status


@dataclass(frozen=True)
class LineSearchResult:
    """Where a search ended.

    accepted: the new point; at a failure the best finite trial below f0, or the start itself.
    step: its step length t >= 0; evaluations: trials made; failure: None, or why no acceptable step was found.
    """

    accepted: Evaluation
    step: float
    evaluations: int
    failure: Status | None


class LineSearch(ABC):
    """A rule for the step length t along a direction: f(x + t d)."""

    @abstractmethod
    def search(self, objective: Objective, start: Evaluation, direction: Tensor, first_step: float) -> LineSearchResult:
        """Search along direction [n] from `start` (with its gradient), trying t = first_step > 0 first.

        A direction that does not descend is a failure at once. A trial whose value or slope is not finite is
        rejected and shortened.
        """


@dataclass(frozen=True)
class Trial:
    """phi(t) = f(x + t d) at one t: its value and slope phi'(t) on the host, and the evaluation itself."""

    t: float
    value: float
    slope: float
    evaluation: Evaluation

    @property
    def is_finite(self) -> bool:
        """A gradient with a component that is not finite has no finite slope."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


class Line:
    """phi(t) = f(x + t d), with the best finite trial so far; one transfer to the host a trial."""

    def __init__(self, objective: Objective, start: Evaluation, direction: Tensor) -> None:
        self._objective, self._direction = objective, direction
        self.start = self._read(0.0, start)
        self.best = self.start
        self.evaluations = 0

    def at(self, t: float) -> Trial:
        """Evaluate f and its gradient at x + t d."""
        x = torch.add(self.start.evaluation.x, self._direction, alpha=t)
        trial = self._read(t, self._objective.evaluate(x))
        self.evaluations += 1
        if trial.is_finite and trial.value < self.best.value:
            self.best = trial
        return trial

    def _read(self, t: float, evaluation: Evaluation) -> Trial:
        gradient = evaluation.gradient
        value, slope = numbers(evaluation.value, torch.dot(gradient, self._direction))
        if math.isfinite(value) and (slope == 0 or not math.isfinite(slope)):
            # In float32 a sum may overflow, or vanish, where no component does.
            slope = float(torch.dot(gradient.double(), self._direction.double()))
        return Trial(t, value, slope, evaluation)

    @property
    def descends(self) -> bool:
        """The direction goes downhill at the start."""
        return self.start.is_finite and self.start.slope < 0

    def accept(self, trial: Trial) -> LineSearchResult:
        return LineSearchResult(trial.evaluation, trial.t, self.evaluations, None)

    def give_up(self) -> LineSearchResult:
        """The best finite trial below f0, or the start, with the reason."""
        return LineSearchResult(self.best.evaluation, self.best.t, self.evaluations, Status.LINE_SEARCH_FAILED)
