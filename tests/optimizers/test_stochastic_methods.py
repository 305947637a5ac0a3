"""Second-order methods on batches train a network of 50,890 parameters on 10,000 images of Fashion-MNIST."""

import functools
from pathlib import Path

import pytest
import torch

from hessrun.errors import DataError
from hessrun.optimizers.lbfgs_multibatch import LBFGSMultibatch
from hessrun.optimizers.newton_cg import NewtonCG
from hessrun.optimizers.newton_cg_line_search import NewtonCGLineSearch
from hessrun.optimizers.sgd import SGD
from hessrun.problems import losses, models
from hessrun.problems.composition import supervised
from hessrun.problems.datasets import FashionMNIST

# Where a download lands, and where Debian's package dataset-fashion-mnist puts the files.
FOLDERS = ("data", "/usr/share/datasets/fashion-mnist")
PASSES = 20


@functools.cache
def fashion():
    """A tanh network of 784-64-10 in float32, cross entropy and L2; skips where there are no files."""
    for folder in FOLDERS:
        try:
            dataset = FashionMNIST(source=str(Path(folder)), limit=10_000)
            return supervised(
                dataset,
                functools.partial(models.mlp, hidden=(64,)),
                losses.CrossEntropy(),
                weight_decay=1e-3,
                dtype=torch.float32,
            )
        except DataError:
            continue
    pytest.skip("Fashion-MNIST's files are not here")


def train(method, problem):
    """The loss of the whole training split at the start and after the passes, in which x is always finite."""

    def loss(x):
        return float(problem.train.uncounted().evaluate(x).value)

    before, state = problem.train.counts, method.init(problem)
    spent = before - before
    while spent.values + spent.gradients + spent.products < PASSES:
        state = method.step(problem, state)
        assert state.failure is None
        assert state.x.isfinite().all()
        spent = problem.train.counts - before
    return loss(problem.x0), loss(state.x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "reached"),
    [
        (LBFGSMultibatch(batch_size=1024), 0.40),
        (LBFGSMultibatch(batch_size=256, lr=0.3), 0.50),
        (NewtonCG(batch_size=1024, product_batch_size=256), 0.48),
        (NewtonCGLineSearch(batch_size=1024, product_batch_size=256), 0.48),
        (SGD(momentum=0.9, batch_size=64, lr=0.01), 0.30),
    ],
    ids=["lbfgs_multibatch", "lbfgs_multibatch-256", "newton_cg", "newton_cg_line_search", "sgd"],
)
def test_batches_lower_the_loss_of_the_whole_within_twenty_passes(method, reached):
    """SGD with momentum stands here to compare with, at the best of six rates and batch sizes."""
    start, end = train(method, fashion())
    print(f"{type(method).__name__}: {start:.4f} -> {end:.4f}")  # noqa: T201
    assert start > 2.3
    assert end < reached
