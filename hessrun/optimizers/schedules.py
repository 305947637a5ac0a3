"""Learning rates as pure functions of the step: a factor on the method's own rate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from hessrun.errors import OptionError
from hessrun.options import fraction, integer, non_negative, positive


class Schedule(ABC):
    """step (0, 1, ...) -> a factor >= 0 on the learning rate."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """The factor for the step that leads from x_step to x_(step+1)."""


@dataclass(frozen=True)
class Constant(Schedule):
    """1 throughout."""

    def factor(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """A linear warm-up, then half a cosine down to `final` (Loshchilov and Hutter, 2017, eq. 5, without restarts).

    steps: length of the whole schedule, 1 or above; warmup: steps of the warm-up; final: last factor, in [0, 1).

        >>> [round(Cosine(steps=4).factor(k), 3) for k in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    steps: int
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        integer("steps", self.steps, minimum=1)
        integer("warmup", self.warmup, minimum=0)
        fraction("final", self.final)
        if self.warmup >= self.steps:
            raise OptionError(f"warmup={self.warmup}: must be below steps={self.steps}.")

    def factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Milestones(Schedule):
    """Multiplied by `gamma` at each of the steps in `at`.

    >>> [Milestones(at=(2, 3), gamma=0.5).factor(k) for k in range(4)]
    [1.0, 1.0, 0.5, 0.25]
    """

    at: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        for step in self.at:
            integer("at", step, minimum=0)
        positive("gamma", self.gamma)

    def factor(self, step: int) -> float:
        return float(self.gamma ** sum(step >= milestone for milestone in self.at))


@dataclass(frozen=True)
class InverseTime(Schedule):
    """1 / (1 + decay * step), the rate of stochastic approximation (Robbins and Monro, 1951)."""

    decay: float

    def __post_init__(self) -> None:
        non_negative("decay", self.decay)

    def factor(self, step: int) -> float:
        return 1.0 / (1.0 + self.decay * step)
