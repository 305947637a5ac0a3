"""The strong Wolfe conditions by bracketing and cubic interpolation."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linesearch.base import Line, LineSearch, LineSearchResult, Trial
from hessrun.objective import Evaluation, Objective
from hessrun.options import between, integer


@dataclass(frozen=True)
class StrongWolfe(LineSearch):
    """f(x + t d) <= f + c1 t g'd and |phi'(t)| <= c2 |g'd| (Nocedal & Wright, 2006, algorithms 3.5 and 3.6).

    Where f differs from f(x) by rounding alone, sufficient decrease is read off the slopes instead: the approximate
    Wolfe conditions (2 c1 - 1) phi'(0) >= phi'(t) >= c2 phi'(0) (Hager and Zhang, 2005, eq. 4.1).

    c1, c2: 0 < c1 < c2 < 1, c1 < 1/2; max_evaluations: trials before it gives up, 1 or above.
    """

    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 25

    def __post_init__(self) -> None:
        between("c1", self.c1, 0, 0.5)
        between("c2", self.c2, 0, 1)
        if not self.c1 < self.c2:
            raise OptionError(f"c1={self.c1}, c2={self.c2}: c1 must be below c2.")
        integer("max_evaluations", self.max_evaluations, minimum=1)

    def search(self, objective: Objective, start: Evaluation, direction: Tensor, first_step: float) -> LineSearchResult:
        line = Line(objective, start, direction)
        if not line.descends:
            return line.give_up()
        # Sums over examples round f to a few units of eps |f|.
        conditions = _Conditions(self, line.start, rounding=32 * torch.finfo(start.x.dtype).eps)
        low, t, ceiling = line.start, first_step, math.inf
        while line.evaluations < self.max_evaluations:
            trial = line.at(t)
            if not trial.is_finite:
                # Too far out of the domain: the next trial lies between the last good one and here.
                ceiling = t
                t = low.t + 0.25 * (t - low.t)
                continue
            if conditions.hold(trial, low):
                return line.accept(trial)
            if conditions.too_high(trial, low):
                return self._zoom(line, conditions, low, trial)
            if trial.slope >= 0:
                return self._zoom(line, conditions, trial, low)
            t = _beyond(low, trial, ceiling)
            low = trial
            if not low.t < t < ceiling:
                break
        return line.give_up()

    def _zoom(self, line: Line, conditions: "_Conditions", low: Trial, high: Trial) -> LineSearchResult:
        """Shrink the bracket: `low` has the least value so far and its slope points to `high`."""
        width_before = math.inf
        while line.evaluations < self.max_evaluations:
            width = abs(high.t - low.t)
            # Interpolation that shrinks the bracket by less than a third yields to bisection (Moré and Thuente, 1994).
            bisect = width > 0.66 * width_before
            t = 0.5 * (low.t + high.t) if bisect else _between(low, high)
            width_before = width
            if t in (low.t, high.t):
                break
            trial = line.at(t)
            if conditions.hold(trial, low):
                return line.accept(trial)
            if not trial.is_finite or conditions.too_high(trial, low):
                high = trial
            else:
                if trial.slope * (high.t - low.t) >= 0:
                    high = low
                low = trial
        return line.give_up()


@dataclass(frozen=True)
class _Conditions:
    search: StrongWolfe
    start: Trial
    rounding: float

    def hold(self, trial: Trial, low: Trial) -> bool:
        """Whether the search may end at `trial`; not where `low`, the best so far, is better by more than rounding."""
        if not trial.is_finite:
            return False
        c1, c2, slope = self.search.c1, self.search.c2, self.start.slope
        is_best = trial.value <= low.value + self.rounding * abs(low.value)
        if is_best and trial.value <= self.start.value + c1 * trial.t * slope and abs(trial.slope) <= -c2 * slope:
            return True
        return self._is_level(trial) and (2 * c1 - 1) * slope >= trial.slope >= c2 * slope

    def too_high(self, trial: Trial, low: Trial) -> bool:
        if self._is_level(trial) and self._is_level(low):
            return trial.slope > 0
        if trial.value > self.start.value + self.search.c1 * trial.t * self.start.slope:
            return True
        if abs(trial.value - low.value) <= self.rounding * abs(low.value):
            # Values that differ by rounding alone would cut the minimiser off: the slope tells on which side it lies.
            return trial.slope * (trial.t - low.t) > 0
        return trial.value >= low.value

    def _is_level(self, trial: Trial) -> bool:
        return abs(trial.value - self.start.value) <= self.rounding * abs(self.start.value)


def _cubic_minimiser(a: Trial, b: Trial) -> float | None:
    """The minimiser of the cubic through values and slopes at a and b (Nocedal & Wright, eq. 3.59), if there is one."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return None
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return None
    t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / denominator
    return t if math.isfinite(t) else None


def _beyond(low: Trial, trial: Trial, ceiling: float) -> float:
    """A longer step: the cubic's minimiser within 1.1 to 9 widths, halfway to where f was not finite."""
    width = trial.t - low.t
    least, most = trial.t + 1.1 * width, trial.t + 9 * width
    if most >= ceiling:
        return 0.5 * (trial.t + ceiling)
    found = _cubic_minimiser(low, trial)
    return most if found is None or found <= trial.t else min(most, max(least, found))


def _between(low: Trial, high: Trial) -> float:
    """Inside the bracket, a tenth away from its ends; a quarter from the good end where the other is not finite."""
    left, right = min(low.t, high.t), max(low.t, high.t)
    if not high.is_finite:
        return low.t + 0.25 * (high.t - low.t)
    found = _cubic_minimiser(low, high)
    if found is None:
        return 0.5 * (left + right)
    margin = 0.1 * (right - left)
    return min(right - margin, max(left + margin, found))
