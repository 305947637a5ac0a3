"""The order of convergence near the minimum: softmax regression with L2 on two features of wine, 9 parameters."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import cross_entropy

from bench.setting import Setting, say
from bench.table import Row, geometric_mean
from hessrun.objective import EmpiricalRisk
from hessrun.optimizers import BFGS, SGD, Newton, Optimizer
from hessrun.problems import ProblemFacts, SupervisedProblem
from hessrun.problems.datasets import Wine

_L2 = 1e-2
# Errors below this share of |x*| are left out: rounding governs them.
_NOISE = 1e-10


def rows(setting: Setting) -> Iterator[Row]:
    """Newton, BFGS, gradient descent with the step 1 / lambda_max at the minimum."""
    problem = softmax_regression(setting.device)
    minimiser = _minimiser(problem)
    largest = float(torch.linalg.eigvalsh(problem.train.hessian(minimiser))[-1])
    methods: list[tuple[str, Optimizer[Any], int]] = [
        ("Newton", Newton(), 30),
        ("BFGS", BFGS(), 200),
        ("gradient descent", SGD(lr=1 / largest), 3000),
    ]
    for name, optimizer, steps in methods:
        say(f"order: {name}")
        e = errors(optimizer, problem, minimiser, steps)
        order, first, last = estimated_order(e), mean_rate(e[:6]), mean_rate(e[-6:])
        if name == "BFGS":
            what = "order of convergence, BFGS: mean e+/e of the first and last five steps"
            yield Row(what, f"{first:.2g}, {last:.2g}", bar="-> 0", holds=last <= 0.5 * first)
            continue
        what = f"order of convergence, {name}: log(e+/e) / log(e/e-) at the last step"
        if name == "Newton":
            yield Row(what, f"{order:.2f}", bar=">= 1.8", holds=order >= 1.8)
        else:
            yield Row(what, f"{order:.2f}, e+/e = {last:.2g}", bar="1", holds=abs(order - 1) < 0.01)


def softmax_regression(device: torch.device) -> SupervisedProblem:
    """Mean cross entropy of an affine map of two standardised features to three classes, + L2/2 |x|^2; from x = 0."""
    train = Wine(validation_fraction=0.0, test_fraction=0.0).load().train
    module = Linear(2, 3, dtype=torch.float64, device=device)
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    inputs, targets = train.inputs[:, [6, 9]].to(device), train.targets.to(device)  # flavanoids and colour
    risk = EmpiricalRisk(module, cross_entropy, inputs, targets, weight_decay=_L2)
    return SupervisedProblem(risk, (), seed=0, facts=ProblemFacts("softmax", "supervised", risk.dim, risk.n_examples))


def _minimiser(problem: SupervisedProblem) -> Tensor:
    optimizer = Newton()
    state = optimizer.init(problem)
    while state.failure is None and state.step < 50:
        state = optimizer.step(problem, state)
    return state.x


def errors(optimizer: Optimizer[Any], problem: SupervisedProblem, minimiser: Tensor, steps: int) -> list[float]:
    """|x_k - x*| for k = 0, 1, ... while it is above rounding."""
    floor = _NOISE * float(torch.linalg.vector_norm(minimiser))
    state = optimizer.init(problem)
    found: list[float] = []
    while state.failure is None and state.step < steps:
        error = float(torch.linalg.vector_norm(state.x - minimiser))
        if error <= floor:
            break
        found.append(error)
        state = optimizer.step(problem, state)
    return found


def mean_rate(e: Sequence[float]) -> float:
    """The geometric mean of e+/e."""
    return geometric_mean(after / before for before, after in itertools.pairwise(e))


def estimated_order(e: Sequence[float]) -> float:
    """log(e+/e) / log(e/e-) of the last three errors; NaN of fewer."""
    if len(e) < 3:
        return math.nan
    return math.log(e[-1] / e[-2]) / math.log(e[-2] / e[-3])
