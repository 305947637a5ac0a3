"""What the tool is for: at equal iterations, Newton and L-BFGS end below the best of five rates of gradient descent."""

import functools

import pytest
import torch

from hessrun.optimizers import BFGS, LBFGS, SGD, Newton, Optimizer
from hessrun.problems import supervised
from hessrun.problems.datasets import Digits
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp
from hessrun.run import Budget, Loop, Probe
from hessrun.run.minimize import _Collector

ITERATIONS = 30


@functools.cache
def final_loss(optimizer: Optimizer) -> tuple[float, float]:
    """First and last training loss on digits with 8 hidden units."""
    problem = supervised(Digits(), functools.partial(mlp, hidden=[8]), CrossEntropy(), seed=0, weight_decay=1e-3)
    collector = _Collector(None)
    Loop(problem, optimizer, Budget(iterations=ITERATIONS), Probe(kind="off"), collector).run()
    return collector.rows[0]["train_loss"], collector.rows[-1]["train_loss"]


@pytest.mark.parametrize("optimizer", [SGD(batch_size=64, momentum=0.9), Newton(), BFGS(), LBFGS()], ids=repr)
def test_each_optimizer_lowers_the_loss(optimizer: Optimizer) -> None:
    first, last = final_loss(optimizer)
    assert last < 0.7 * first


@pytest.mark.parametrize("optimizer", [Newton(), LBFGS()], ids=repr)
def test_hessian_methods_beat_tuned_gradient_descent_by_iteration(optimizer: Optimizer) -> None:
    rates = (0.03, 0.1, 0.3, 1.0, 3.0)
    best = min(final_loss(SGD(lr=rate))[1] for rate in rates)
    assert final_loss(optimizer)[1] < best


def test_newton_ends_near_its_minimum_with_order_two() -> None:
    problem = supervised(Digits(limit=200), functools.partial(mlp, hidden=[]), CrossEntropy(), weight_decay=1e-2)
    collector = _Collector(None)
    budget = Budget(iterations=40, gradient_tolerance=1e-12)
    Loop(problem, Newton(), budget, Probe(kind="off"), collector).run()
    norms = torch.tensor([row["gradient_norm"] for row in collector.rows], dtype=torch.float64)
    norms = norms[(norms > 1e-13) & (norms < 1e-2)]
    orders = (norms[2:] / norms[1:-1]).log() / (norms[1:-1] / norms[:-2]).log()
    assert len(orders) >= 1
    assert orders[-1] >= 1.8
