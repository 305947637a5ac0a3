"""How many evaluations a method takes to solve a test problem: counted alike for ours and for the peers."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.ours import analytic
from bench.peers import scipy_minimize, torch_lbfgs, torchmin_minimize
from hessrun.objective import Counter, Curvature, Evaluation, Objective
from hessrun.objective.more_garbow_hillstrom import SumOfSquares
from hessrun.optimizers import Optimizer

_ITERATIONS = 10**6


class _Over(BaseException):
    """Solved, or out of evaluations. No Exception, which a peer might catch."""


def starts_finite(problem: SumOfSquares) -> bool:
    """Whether f at the start can be represented: otherwise there is nothing to measure a decrease by."""
    return problem.objective.uncounted().evaluate(problem.x0).is_finite()


class Watch:
    """Counts evaluations of f and ends the run at the first one with f <= target.

    problem: its value at the start is finite (`starts_finite`).
    target: fL + tau (f0 - fL), fL the largest published minimum that is below f0; limit: evaluations at most.
    solved_after: evaluations until then, or None.
    """

    def __init__(self, problem: SumOfSquares, *, tau: float, limit: int) -> None:
        f0 = float(problem.objective.uncounted().evaluate(problem.x0, gradient=False).value)
        least = max((f for f in problem.minima if f < f0), default=problem.minimum)
        self._target = least + tau * (f0 - least)
        self.limit, self._count = limit, 0
        self.solved_after: int | None = None

    def saw(self, value: Tensor) -> None:
        """Take note of an evaluation; raises what ends the run."""
        self._count += 1
        if float(value) <= self._target:
            self.solved_after = self._count
        if self.solved_after is not None or self._count >= self.limit:
            raise _Over


class _Watched(Objective):
    """An objective whose values are watched."""

    def __init__(self, inner: Objective, watch: Watch) -> None:
        self._inner, self._watch = inner, watch
        self.dim, self.dtype, self.device = inner.dim, inner.dtype, inner.device
        self.n_examples, self.n_batch = inner.n_examples, inner.n_batch
        self.counter = Counter(inner.n_examples)

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        found = self._inner._evaluate(x, gradient)
        self._watch.saw(found.value)
        return found

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        return self._inner._curvature(x, kind)


@dataclass(frozen=True)
class Method:
    """run: minimises the watched function from the problem's start, until it ends by itself or by the watch.

    uses_hessians: it takes second derivatives besides, which are not counted as evaluations.
    """

    name: str
    run: Callable[[SumOfSquares, Watch], None]
    uses_hessians: bool = False

    def evaluations(self, problem: SumOfSquares, *, tau: float, limit: int) -> int | None:
        """Evaluations until solved, or None."""
        watch = Watch(problem, tau=tau, limit=limit)
        with contextlib.suppress(_Over), np.errstate(all="ignore"):
            self.run(problem, watch)
        return watch.solved_after


def ours(name: str, optimizer: Optimizer[Any], *, uses_hessians: bool = False) -> Method:
    """A method of hessrun, stepped until it reports a failure."""

    def run(problem: SumOfSquares, watch: Watch) -> None:
        made = analytic(_Watched(problem.objective, watch), problem.x0)
        state = optimizer.init(made)
        while state.failure is None and state.step < watch.limit:
            state = optimizer.step(made, state)

    return Method(name, run, uses_hessians)


def scipy_method(method: str) -> Method:
    """A method of scipy.optimize.minimize; where it raises, it has not solved the problem."""

    def run(problem: SumOfSquares, watch: Watch) -> None:
        with contextlib.suppress(ValueError, ArithmeticError):
            scipy_minimize(method, _Watched(problem.objective, watch), problem.x0, iterations=_ITERATIONS)

    return Method(f"scipy {method}", run)


def torch_method() -> Method:
    """torch.optim.LBFGS with its line search."""

    def run(problem: SumOfSquares, watch: Watch) -> None:
        torch_lbfgs(_Watched(problem.objective, watch), problem.x0, iterations=_ITERATIONS)

    return Method("torch LBFGS", run)


def torchmin_method(method: str, *, uses_hessians: bool = False) -> Method:
    """A method of torchmin; where it raises, it has not solved the problem."""

    def run(problem: SumOfSquares, watch: Watch) -> None:
        def f(x: Tensor) -> Tensor:
            r = problem.residuals(x)
            value = torch.dot(r, r)
            watch.saw(value.detach())
            return value

        with contextlib.suppress(RuntimeError, ValueError, ArithmeticError, IndexError, AttributeError, TypeError):
            torchmin_minimize(method, f, problem.x0, iterations=_ITERATIONS)

    return Method(f"torchmin {method}", run, uses_hessians)
