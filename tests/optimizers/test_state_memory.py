"""What the README says of the memory that each method keeps between steps, in vectors of n numbers."""

import functools

import pytest
import torch

from hessrun import optimizers
from hessrun.optimizers import TorchOptimizer
from hessrun.problems import supervised
from hessrun.problems.datasets import Digits
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp

M = 12


def numbers(method, hidden: int, steps: int) -> tuple[int, float]:
    """n, and how many numbers in float64 the state takes when all its memories are full."""
    problem = supervised(Digits(limit=64), functools.partial(mlp, hidden=[hidden]), CrossEntropy())
    state = method.init(problem)
    while state.step < steps and state.failure is None:
        state = method.step(problem, state)
    return problem.train.dim, method.state_bytes(state) / 8


@pytest.mark.parametrize(
    ("method", "steps", "vectors"),
    [
        (optimizers.SGD(lr=0.1, momentum=0.9, batch_size=32), 3, 2),
        (optimizers.SGD(lr=0.1), 3, 2),
        (TorchOptimizer(torch.optim.Adam, {"lr": 1e-3}, 32), 3, 3),
        (optimizers.LBFGS(memory=M), 30, 2 * M + 6),
        (optimizers.LBFGSMultibatch(batch_size=32, memory=10), 30, 24),
        (optimizers.NewtonCG(), 30, 44),
        (optimizers.NewtonCGLineSearch(), 30, 44),
        (optimizers.GaussNewton(), 3, 2),
        (optimizers.Newton(), 2, 3),
        (optimizers.NewtonTrust(), 2, 2),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else None,
)
def test_vectors_of_the_state(method, steps: int, vectors: int) -> None:
    (n, before), (larger, after) = numbers(method, 4, steps), numbers(method, 8, steps)
    assert (after - before) / (larger - n) == pytest.approx(vectors, abs=0.01)


@pytest.mark.parametrize("method", [optimizers.BFGS(), optimizers.DFP(), optimizers.SSBFGS(), optimizers.SR1()])
def test_a_dense_matrix_and_the_updates_held_apart(method) -> None:
    n, found = numbers(method, 8, 40)
    assert (found - n**2) / n**1.5 == pytest.approx(2, rel=0.15)
