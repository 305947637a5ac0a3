"""Warm starts: the products that they save along a path of matrices, and that they spoil nothing."""

from functools import partial

import pytest
import torch
from torch import Tensor

from hessrun.linalg.lanczos import Eigenpairs, lanczos
from hessrun.problems import supervised
from hessrun.problems.datasets.embedded import Digits
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp


def _top_ten(H: Tensor, tolerance: float, start: Tensor | None = None) -> Eigenpairs:
    found = lanczos(lambda v: H @ v, len(H), largest=10, tolerance=tolerance, start=start)
    exact = torch.linalg.eigvalsh(H)
    assert found.complete
    torch.testing.assert_close(found.values, exact[-10:], rtol=0, atol=tolerance * float(exact.abs().max()))
    return found


def _share(path: list[Tensor], tolerance: float) -> float:
    """Products of warm starts along the path over those of cold ones."""
    start, warm, cold = _top_ten(path[0], tolerance).vectors, 0, 0
    for H in path[1:]:
        found = _top_ten(H, tolerance, start)
        start, warm = found.vectors, warm + found.products
        cold += lanczos(lambda v, H=H: H @ v, len(H), largest=10, tolerance=tolerance).products  # type: ignore[misc]
    return warm / cold


def _drift(length: float) -> list[Tensor]:
    """Ten outliers close above a bulk, turned by steps of |dH| = length * |H|."""
    n, generator = 400, torch.Generator().manual_seed(0)
    Q, K = (torch.randn(n, n, generator=generator, dtype=torch.float64) for _ in range(2))
    Q, K = torch.linalg.qr(Q).Q, length * (K - K.T) / (2 * n**0.5)
    values = torch.cat([torch.linspace(1.15, 2, 10), torch.linspace(-1, 1, n - 10)]).double()
    turned = [Q]
    for _ in range(4):
        turned.append(torch.linalg.matrix_exp(K) @ turned[-1])
    return [(T * values @ T.T + (T * values @ T.T).T) / 2 for T in turned]


@pytest.mark.parametrize(("length", "tolerance", "at_most"), [(3e-4, 1e-3, 0.52), (1e-2, 1e-3, 1.0), (3e-4, 1e-6, 1.0)])
def test_a_drifting_matrix_is_followed_with_fewer_products(length: float, tolerance: float, at_most: float) -> None:
    assert _share(_drift(length), tolerance) <= at_most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "every", "tolerance", "at_most"),
    [(0.002, 1, 1e-3, 0.5), (0.05, 5, 1e-3, 1.0), (0.002, 1, 1e-6, 1.0), (0.05, 5, 1e-6, 1.0)],
)
def test_a_network_in_training_is_followed_with_fewer_products(
    rate: float, every: int, tolerance: float, at_most: float
) -> None:
    """Half where the Hessian moves by no more than the tolerance between two looks, and never more than cold starts."""
    risk = supervised(Digits(), partial(mlp, hidden=(32,)), CrossEntropy()).train
    x, path = risk.x0, []
    for step in range(5 * every + 1):
        if step % every == 0:
            path.append(risk.hessian(x))
        x = x - rate * risk.evaluate(x).gradient
    assert _share(path, tolerance) <= at_most
