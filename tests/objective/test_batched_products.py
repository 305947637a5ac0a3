"""Products made together against single ones: where the rule allows them, and where an operation cannot be batched."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk, sizes
from hessrun.objective.chain import ChainGraph
from hessrun.objective.gauss_newton import GaussNewtonGraph
from hessrun.objective.products import GradientGraph


@pytest.fixture
def blocks(monkeypatch) -> list[int]:
    """The sizes of the blocks that were tried."""
    tried: list[int] = []
    for graph in (GradientGraph, GaussNewtonGraph, ChainGraph):

        def watched(self, rows, plain=graph.products):
            tried.append(len(rows))
            return plain(self, rows)

        monkeypatch.setattr(graph, "products", watched)
    return tried


class _Checked(torch.autograd.Function):
    """The identity, whose backward looks at numbers: it cannot be batched."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        if not bool(torch.isfinite(gradient).all()):
            raise ValueError("not finite")
        return gradient.clone()


class Unbatched(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return _Checked.apply(super().forward(x))


def singles(curvature, V: Tensor) -> Tensor:
    return torch.stack([curvature @ v for v in V.T.contiguous()], dim=1)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("k", [1, 2, 16, 35])
@pytest.mark.parametrize("chunk_size", [11, 4])
def test_they_equal_single_products(case, kind, k, chunk_size, blocks):
    risk = case.risk(weight_decay={"*": 0.3}, chunk_size=chunk_size)
    V = torch.randn(risk.dim, k, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        found, expected = curvature @ V, singles(curvature, V)
    scale = torch.linalg.matrix_norm(expected)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * scale
    assert found.is_contiguous()
    assert risk.counts.products == 2 * k
    per_chunk = [min(16, k - start) for start in range(0, k, 16)] if k > 1 else []
    assert blocks == per_chunk * -(-11 // chunk_size)


def test_in_single_precision_they_agree_to_its_rounding(case):
    risk = case.risk().in_dtype(torch.float32)
    V = torch.randn(risk.dim, 20, generator=torch.Generator().manual_seed(0))
    with risk.curvature(risk.x0) as curvature:
        expected = singles(curvature, V)
        assert torch.linalg.matrix_norm(curvature @ V - expected) <= 1e-5 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_what_cannot_be_batched_is_tried_once(kind, blocks):
    torch.manual_seed(0)
    module = nn.Sequential(Unbatched(3, 4), nn.Tanh(), Unbatched(4, 2)).double()
    risk = EmpiricalRisk(module, functional.mse_loss, torch.randn(9, 3).double(), torch.randn(9, 2).double())
    V = torch.randn(risk.dim, 5, dtype=torch.float64)
    for point in (risk, risk.subset(torch.arange(4)), risk.uncounted()):
        with point.curvature(point.x0, kind=kind) as curvature:
            assert torch.equal(curvature @ V, singles(curvature, V))
    assert blocks == [5]


def test_an_operation_that_is_looped_over_with_a_warning_is_made_by_single_products(monkeypatch, blocks):
    module = nn.Sequential(Unbatched(3, 2))  # no chain of plain layers, which batches by itself
    risk = EmpiricalRisk(module, functional.mse_loss, torch.ones(4, 3), torch.ones(4, 2))
    plain = torch.autograd.grad

    def warns(*args, is_grads_batched=False, **options):
        if is_grads_batched:
            import warnings

            warnings.warn(
                "There is a performance drop because we have not yet implemented the batching rule", stacklevel=2
            )
        return plain(*args, is_grads_batched=is_grads_batched, **options)

    monkeypatch.setattr(torch.autograd, "grad", warns)
    V = torch.eye(risk.dim)
    with risk.curvature(risk.x0) as curvature:
        assert torch.equal(curvature @ V, singles(curvature, V))
        curvature @ V
    assert blocks == [8]


def test_a_product_that_fails_by_itself_still_raises_and_is_not_held_against_batches(blocks):
    risk = EmpiricalRisk(nn.Linear(3, 2), functional.mse_loss, torch.ones(4, 3), torch.ones(4, 2))
    with risk.curvature(risk.x0) as curvature:
        with pytest.raises(RuntimeError, match="type"):
            curvature._product(torch.ones(risk.dim, 3, dtype=torch.complex64))
        curvature @ torch.ones(risk.dim, 3)
    assert blocks == [3, 3]


@pytest.mark.parametrize(
    ("numbers", "by_graph", "expected"),
    [(2**18, False, [16, 4]), (2**18, True, [16, 4]), (100, False, [2] * 10), (100, True, [])],
)
def test_the_rule_knows_shapes_and_chains_alone(monkeypatch, blocks, numbers, by_graph, expected):
    monkeypatch.setattr(sizes, "_ON_HOST", replace(sizes._ON_HOST, batched_numbers=numbers))
    risk = EmpiricalRisk(nn.Linear(8, 4), functional.mse_loss, torch.ones(50, 8), torch.ones(50, 4))
    assert risk._chain is not None
    if by_graph:
        monkeypatch.setattr(risk, "_chain", None)
    with risk.curvature(risk.x0) as curvature:
        curvature @ torch.ones(risk.dim, 20)
    assert blocks == expected


def test_graphs_that_are_not_kept_are_built_once_for_all_columns(blocks):
    class Called(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Called.calls += 1
            return super().forward(x)

    module = nn.Sequential(Called(3, 30), nn.Tanh()).double()
    risk = EmpiricalRisk(
        module, functional.mse_loss, torch.ones(9, 3).double(), torch.ones(9, 30).double(), chunk_size=4, graph_memory=0
    )
    V = torch.randn(risk.dim, 40, dtype=torch.float64)
    with risk.curvature(risk.x0) as curvature:
        Called.calls = 0
        found = curvature @ V
        assert Called.calls == 3
        assert torch.equal(found, singles(curvature, V))
    assert blocks == []


def test_the_dense_hessian_goes_in_blocks(blocks):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3)).double()
    risk = EmpiricalRisk(module, functional.cross_entropy, torch.randn(9, 1, 8).double(), torch.randint(3, (9,)))
    H = risk.hessian(risk.x0)
    assert sum(blocks) == risk.dim == 69
    assert max(blocks) == 16
    assert torch.equal(H, H.T)
    with risk.curvature(risk.x0) as curvature:
        by_single = torch.stack([curvature @ e for e in torch.eye(risk.dim, dtype=torch.float64)])
    assert torch.allclose(H, by_single, rtol=1e-11, atol=1e-14)
    assert risk.counts.hessian_columns == 69


class _Scaled(nn.Module):
    """A network with a scale, a parameter without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.layer = nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layer(x)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_a_parameter_without_dimensions(kind, blocks):
    risk = EmpiricalRisk(_Scaled(), functional.mse_loss, torch.randn(7, 3).double(), torch.randn(7, 2).double())
    with risk.curvature(risk.x0, kind=kind) as curvature:
        one_by_one = torch.stack([curvature @ unit for unit in torch.eye(risk.dim, dtype=torch.float64)])
    assert torch.allclose(risk.hessian(risk.x0, kind=kind), one_by_one, rtol=1e-12, atol=1e-14)
    assert blocks
