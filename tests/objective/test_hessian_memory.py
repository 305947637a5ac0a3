"""The exact Hessian takes a few matrices and a chunk, however many examples there are; symmetric to the last bit."""

import pytest
import torch
from peak import PeakMemory
from torch import nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "by layers":
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 5)).double()
    return nn.Sequential(nn.Conv1d(1, 2, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(6, 5)).double()


def risk_of(kind: str, n: int, **options) -> EmpiricalRisk:
    module = network(kind)
    inputs, classes = torch.randn(n, 1, 16, dtype=torch.float64), torch.randint(5, (n,))
    return EmpiricalRisk(module, functional.cross_entropy, inputs, classes, **options)


def test_the_peak_is_measured():
    with PeakMemory() as memory:
        a = torch.zeros(1000, dtype=torch.float64)
        for _ in range(5):
            b = a + 1
        del a
        c = b.view(10, 100).T
    assert memory.peak == 3 * 8000
    assert c.shape == (100, 10)


@pytest.mark.parametrize("kind", ["by layers", "by products"])
def test_more_examples_take_no_more_memory(kind):
    peaks = []
    for n in (64, 320):
        risk = risk_of(kind, n, chunk_size=32, graph_memory=0)
        with PeakMemory() as memory:
            H = risk.hessian(risk.x0)
        peaks.append(memory.peak)
        assert torch.equal(H, H.T)
    assert peaks[1] <= 1.05 * peaks[0]


@pytest.mark.parametrize("kind", ["by layers", "by products"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_symmetric_to_the_last_bit_and_equal_to_products(kind, dtype):
    risk = risk_of(kind, 70, chunk_size=32, weight_decay={"*.weight": 0.1}).in_dtype(dtype)
    x = risk.x0 + 0.3
    H = risk.hessian(x)
    assert torch.equal(H, H.T)
    with risk.curvature(x) as curvature:
        v = torch.ones(risk.dim, dtype=dtype)
        expected = curvature @ v
    tolerance = 1e3 * torch.finfo(dtype).eps
    assert torch.linalg.vector_norm(H @ v - expected) <= tolerance * torch.linalg.vector_norm(expected)


def test_by_products_the_peak_is_two_matrices_and_a_few_blocks_of_columns():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(48, 12)).double()
    inputs, classes = torch.randn(8, 1, 16, dtype=torch.float64), torch.randint(12, (8,))
    risk = EmpiricalRisk(module, functional.cross_entropy, inputs, classes)
    with PeakMemory() as memory:
        risk.hessian(risk.x0)
    matrix, block = 8 * risk.dim**2, 8 * risk.dim * 64
    assert memory.peak <= 2 * matrix + 6 * block
