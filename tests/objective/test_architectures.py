"""Products through the networks that people train, against finite differences of the gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.errors import ObjectiveError
from hessrun.objective import EmpiricalRisk, restrict
from hessrun.problems.models import lenet, mlp, resnet18


class MultiHead(nn.Module):
    """nn.MultiheadAttention with or without its weights, which are two ways through it."""

    def __init__(self, dropout: float = 0.0, need_weights: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)
        self.out, self.need_weights = nn.Linear(8, 3), need_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.attention(x, x, x, need_weights=self.need_weights)[0].mean(1))


class Encoder(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, activation="gelu", batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(x).mean(1))


class Scaled(nn.Module):
    """The fused kernel, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(2, (2, 4)).transpose(1, 2) for t in self.project(x).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2).mean(1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: mlp((1, 8, 8), 3), (1, 8, 8)),
    "lenet": (lambda: lenet((1, 12, 12), 3), (1, 12, 12)),
    "multi-head": (MultiHead, (5, 8)),
    "multi-head with weights": (lambda: MultiHead(need_weights=True), (5, 8)),
    "encoder": (Encoder, (5, 8)),
    "encoder in eval mode": (lambda: Encoder(dropout=0.1).eval(), (5, 8)),
    "scaled dot product": (Scaled, (5, 8)),
}


def risk_of(build: Callable[[], nn.Module], shape: tuple[int, ...], n: int = 9, **options) -> EmpiricalRisk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = build().double()
        inputs, classes = torch.randn(n, *shape, dtype=torch.float64), torch.randint(3, (n,))
    return EmpiricalRisk(module, functional.cross_entropy, inputs, classes, **options)


def relative_error(risk, x: Tensor, seed: int = 0, step: float = 1e-4) -> float:
    v = torch.randn(risk.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    v = v / torch.linalg.vector_norm(v)
    forward, backward = (risk.evaluate(x + s * step * v).gradient for s in (1, -1))
    with risk.curvature(x) as curvature:
        found = curvature @ v
    expected = (forward - backward) / (2 * step)
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_product_is_the_derivative_of_the_gradient(network):
    risk = risk_of(*NETWORKS[network], weight_decay=0.01, chunk_size=4)
    assert relative_error(risk, risk.x0) < 1e-6
    with risk.curvature(risk.x0) as curvature, risk.curvature(risk.x0, kind="gauss_newton") as gauss_newton:
        U, V = torch.randn(2, risk.dim, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for matrix in (curvature, gauss_newton):
            assert torch.allclose(U.T @ (matrix @ V), (V.T @ (matrix @ U)).T, rtol=1e-9, atol=1e-12)
        assert ((V * (gauss_newton @ V)).sum(0) > 0).all()


@pytest.mark.parametrize("network", ["multi-head", "encoder", "encoder in eval mode", "scaled dot product"])
def test_attention_layer_by_layer_and_its_value_without_a_gradient(network):
    risk = risk_of(*NETWORKS[network])
    assert torch.allclose(risk.evaluate(risk.x0, gradient=False).value, risk.evaluate(risk.x0).value, rtol=1e-12)
    for pattern in ("out.*", "*weight"):
        part, z = restrict(risk, risk.x0, pattern)
        assert relative_error(part, z) < 1e-6


@pytest.mark.slow
def test_resnet18_with_group_norm():
    risk = risk_of(lambda: resnet18((3, 8, 8), 3), (3, 8, 8), n=2)
    assert risk.dim > 11e6
    assert relative_error(risk, risk.x0) < 1e-4
    part, z = restrict(risk, risk.x0, ["fc.*", "layer4.1.bn2.*"])
    assert relative_error(part, z) < 1e-5


@pytest.mark.parametrize("build", [lambda: MultiHead(dropout=0.1), lambda: Encoder(dropout=0.1)])
def test_dropout_within_attention_is_refused(build):
    with pytest.raises(ObjectiveError, match=r"switch off its randomness in .*MultiheadAttention '.*attn|attention'"):
        risk_of(build, (5, 8))
