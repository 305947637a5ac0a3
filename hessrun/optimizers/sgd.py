"""Gradient descent, stochastic or not."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from hessrun.errors import OptionError
from hessrun.optimizers.base import Optimizer, State
from hessrun.optimizers.schedules import Constant, Schedule
from hessrun.options import boolean, fraction, integer, positive
from hessrun.problems.problem import Problem


@dataclass(kw_only=True)
class SGDState(State):
    """velocity: [n], the running sum of gradients, or None without momentum and before the first step."""

    velocity: Tensor | None = None


@dataclass(frozen=True)
class SGD(Optimizer[SGDState]):
    """x+ = x - lr v+ with v+ = momentum v + g (Polyak, 1964), or x+ = x - lr (g + momentum v+) with `nesterov`
    (Sutskever et al., 2013); the first v is g.

    lr: learning rate, above 0; momentum: in [0, 1); nesterov: needs momentum above 0.
    batch_size: examples of a minibatch, 1 or above; None takes the whole training split (gradient descent).
    schedule: a factor on lr by step.
    """

    state_type: ClassVar[type[State]] = SGDState

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    batch_size: int | None = None
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        positive("lr", self.lr)
        fraction("momentum", self.momentum)
        boolean("nesterov", self.nesterov)
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, minimum=1)
        if self.nesterov and self.momentum == 0:
            raise OptionError("nesterov=True: needs momentum above 0.")

    @property
    def is_stochastic(self) -> bool:
        return self.batch_size is not None

    def init(self, problem: Problem) -> SGDState:
        return SGDState(x=problem.x0, evaluation=None if self.is_stochastic else problem.train.evaluate(problem.x0))

    def step(self, problem: Problem, state: SGDState) -> SGDState:
        if self.batch_size is None:
            gradient = state.here.gradient
        else:
            gradient = problem.minibatch(state.step, self.batch_size).evaluate(state.x).gradient
        velocity = None
        if self.momentum > 0:
            velocity = gradient if state.velocity is None else self.momentum * state.velocity + gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        lr = self.lr * self.schedule.factor(state.step)
        x = state.x.add(gradient, alpha=-lr)
        evaluation = None if self.is_stochastic else problem.train.evaluate(x)
        return replace(state, step=state.step + 1, x=x, evaluation=evaluation, step_size=lr, velocity=velocity)
