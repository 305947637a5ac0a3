"""When a run ends: limits and targets, and the one function that decides the status."""

import math
from dataclasses import dataclass

from hessrun.errors import OptionError
from hessrun.options import integer, positive
from hessrun.status import Status


@dataclass(frozen=True)
class Budget:
    """Limits of a run; None is no limit, and at least one of iterations, seconds and passes is set.

    iterations: outer iterations, 0 or above.
    seconds: of the optimizer's own clock.
    passes: values, gradients, products and Hessian columns together, in passes over the data.
    Both are looked at between steps: a run ends with the step that goes beyond them.
    gradient_tolerance: stop where the largest component of the gradient is at most this times that of the start, or,
    where that is 0, at a saddle, of the first one that is not.
    gradient_target: the same as an absolute bound. target_loss: stop where the training loss is at most this.
    check_every: steps between the looks at gradient and loss; None is every step where the method has the gradient of
    the whole training split anyway, every 10 where that has to be evaluated, off the clock.
    """

    iterations: int | None = None
    seconds: float | None = None
    passes: float | None = None
    gradient_tolerance: float | None = None
    gradient_target: float | None = None
    target_loss: float | None = None
    check_every: int | None = None

    def __post_init__(self) -> None:
        if self.iterations is not None:
            integer("iterations", self.iterations, minimum=0)
        if self.check_every is not None:
            integer("check_every", self.check_every, minimum=1)
        for name in ("seconds", "passes", "gradient_tolerance", "gradient_target"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        if self.iterations is None and self.seconds is None and self.passes is None:
            raise OptionError("budget: nothing would end the run; set iterations, seconds or passes.")
        target = self.target_loss
        if target is not None and (not isinstance(target, int | float) or not math.isfinite(target)):
            raise OptionError(f"target_loss={target!r}: must be a finite number")


@dataclass(frozen=True)
class Progress:
    """Where a run stands, as the budget sees it. loss, gradient_max: None where this step takes no look at them.

    negative_curvature: what the method reported at its last look; None where it has yet to look.
    """

    step: int
    seconds: float
    passes: float
    loss: float | None
    gradient_max: float | None
    first_gradient_max: float
    negative_curvature: bool | None
    failure: Status | None
    interrupted: bool


def decide(budget: Budget, at: Progress) -> Status | None:
    """The status with which the run ends here, or None to go on."""
    if at.loss is not None and at.gradient_max is not None:
        if not (math.isfinite(at.loss) and math.isfinite(at.gradient_max)):
            return Status.DIVERGED
        if _is_stationary(budget, at.gradient_max, at.first_gradient_max) and at.negative_curvature is False:
            return Status.CONVERGED
        if budget.target_loss is not None and at.loss <= budget.target_loss:
            return Status.TARGET_REACHED
    if at.failure is not None:
        return at.failure
    if at.interrupted:
        return Status.INTERRUPTED
    return is_spent(budget, step=at.step, seconds=at.seconds, passes=at.passes)


def is_spent(budget: Budget, *, step: int, seconds: float, passes: float) -> Status | None:
    """The limit that has been reached, if any."""
    if budget.iterations is not None and step >= budget.iterations:
        return Status.ITERATIONS_SPENT
    if budget.seconds is not None and seconds >= budget.seconds:
        return Status.SECONDS_SPENT
    if budget.passes is not None and passes >= budget.passes:
        return Status.EVALUATIONS_SPENT
    return None


def _is_stationary(budget: Budget, gradient_max: float, first: float) -> bool:
    if gradient_max == 0:
        return True
    relative = budget.gradient_tolerance is not None and gradient_max <= budget.gradient_tolerance * first
    return relative or (budget.gradient_target is not None and gradient_max <= budget.gradient_target)
