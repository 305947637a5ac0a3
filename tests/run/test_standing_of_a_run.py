"""What a run agrees on between two steps, and that it goes on whatever the listener wants."""

from collections.abc import Callable
from typing import Any

import torch

import hessrun
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.run import Budget, Loop, Probe
from hessrun.run.standing import Standing, stand
from hessrun.status import Status


class Eager:
    """Wants a checkpoint at every time of asking, and counts what it is given."""

    interrupted = False

    def __init__(self) -> None:
        self.kept: list[int] = []

    def started(self) -> None:
        pass

    def row(self, row: dict[str, Any]) -> None:
        pass

    def spectrum(self, *_: object) -> None:
        pass

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        self.kept.append(step)

    def wants_checkpoint(self, step: int) -> bool:
        return True

    def ended(self, outcome: object) -> None:
        pass


def test_a_listener_that_always_wants_a_checkpoint_gets_one_a_step() -> None:
    x0 = torch.ones(3, dtype=torch.float64)
    objective = hessrun.as_objective(lambda x: (x**4).sum(), x0)
    problem = AnalyticProblem(objective, x0, ProblemFacts("quartic", "analytic", 3, 1))
    listener = Eager()
    loop = Loop(problem, hessrun.optimizers.SGD(lr=0.01), Budget(iterations=4), Probe(kind="off"), listener)
    assert loop.run().status is Status.ITERATIONS_SPENT
    assert listener.kept == [0, 1, 2, 3, 4]


def test_one_process_agrees_with_itself() -> None:
    assert stand(Eager(), step=3, seconds=1.5) == Standing(seconds=1.5, wants_checkpoint=True)
