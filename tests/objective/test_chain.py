"""Products of chains of plain layers, without a graph, against double backward and against a dense Hessian."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from hessrun.objective import EmpiricalRisk
from hessrun.objective.chain import Chain
from hessrun.problems.losses import CrossEntropy

N = 7


def _mlp(activation: nn.Module, *, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5, bias=bias), activation, nn.Linear(5, 4), activation, nn.Linear(4, 3)
    )


CHAINS = {
    "linear": lambda: nn.Linear(6, 3),
    "tanh": lambda: _mlp(nn.Tanh()),
    "relu, no bias": lambda: _mlp(nn.ReLU(), bias=False),
    "gelu": lambda: _mlp(nn.GELU()),
    "softplus": lambda: _mlp(nn.Softplus(beta=2.0)),
    "silu, nested": lambda: nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(6, 5)), nn.SiLU(), *_mlp(nn.ELU())[3:]),
    "ends in an activation": lambda: nn.Sequential(nn.Linear(6, 3), nn.Sigmoid()),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, (1, 2), padding=(1, 1)), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(2, 3, 2, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Mish(), nn.Linear(3, 3),
    ),
    "strided, dilated": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 1, 3)), nn.Conv2d(2, 3, (1, 2), dilation=(1, 2), padding=2, stride=2), nn.Softsign(),
        nn.Flatten(), nn.Linear(27, 3),
    ),
    "windows' maxima": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2, padding=2), nn.MaxPool2d(2), nn.Tanh(),
        nn.Conv2d(2, 3, 2, padding=1), nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), nn.Flatten(),
        nn.Linear(36, 3),
    ),
    "in place, dropout that is off": lambda: nn.Sequential(
        nn.Linear(6, 5), nn.Dropout(0.5).eval(), nn.ELU(inplace=True), nn.Linear(5, 4), nn.ReLU(inplace=True),
        nn.Dropout(0.0, inplace=True), nn.Linear(4, 3),
    ),
    "layer norms": lambda: nn.Sequential(
        nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(), nn.Unflatten(1, (5, 1, 1)), nn.LayerNorm((5, 1, 1), bias=False),
        nn.Conv2d(5, 4, 2, padding=1), nn.LayerNorm(2), nn.LayerNorm((4, 2, 2), elementwise_affine=False), nn.Flatten(),
        nn.Linear(16, 3),
    ),
    "group norms": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2, bias=False), nn.GroupNorm(2, 4), nn.SiLU(),
        nn.Conv2d(4, 6, 1), nn.GroupNorm(3, 6, affine=False), nn.Tanh(), nn.GroupNorm(1, 6), nn.Flatten(),
        nn.Linear(12, 6), nn.GroupNorm(2, 6), nn.Linear(6, 3),
    ),
    "tokens": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2, bias=False), nn.Flatten(),
        nn.Linear(4, 3),
    ),
    "a norm first": lambda: nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3)),
}  # fmt: skip
CLASSES = torch.arange(N) % 3
LOSSES = {
    "cross entropy": (functional.cross_entropy, CLASSES),
    "hessrun's cross entropy": (CrossEntropy(), CLASSES),
    "an ignored class": (functional.cross_entropy, CLASSES.where(CLASSES != 1, -100)),
    "soft classes": (functional.cross_entropy, torch.softmax(torch.arange(3.0 * N).view(N, 3).sin().double(), 1)),
    "squared error": (functional.mse_loss, torch.arange(3.0 * N).view(N, 3).cos().double()),
    "huber": (nn.HuberLoss(delta=0.3), torch.arange(3.0 * N).view(N, 3).cos().double()),
    "linear in the outputs": (lambda o, y: (o * y).mean(), torch.arange(3.0 * N).view(N, 3).cos().double()),
}  # fmt: skip


def _inputs() -> torch.Tensor:
    return torch.randn(N, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def _risk(chain: str, loss: str, **options) -> EmpiricalRisk:
    torch.manual_seed(0)
    module = CHAINS[chain]().double()
    function, targets = LOSSES[loss]
    return EmpiricalRisk(module, function, _inputs(), targets, **options)


def _columns(risk: EmpiricalRisk, kind: str, monkeypatch, *, by_graph: bool) -> torch.Tensor:
    with monkeypatch.context() as patched:
        if by_graph:
            patched.setattr(risk, "_chain", None)
        with risk.curvature(risk.x0, kind=kind) as curvature:
            return torch.stack([curvature @ unit for unit in torch.eye(risk.dim, dtype=risk.dtype)], dim=1)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "an ignored class"])
def test_they_are_those_of_double_backward(chain, loss, kind, monkeypatch):
    risk = _risk(chain, loss, chunk_size=4, weight_decay=0.1)
    assert risk._chain is not None
    expected = _columns(risk, kind, monkeypatch, by_graph=True)
    found = _columns(risk, kind, monkeypatch, by_graph=False)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize("chain", CHAINS)
def test_they_are_columns_of_the_hessian_that_torch_makes(chain, monkeypatch):
    risk = _risk(chain, "cross entropy")

    def f(x):
        return functional.cross_entropy(functional_call(risk.module, risk.layout.named(x), (risk.inputs,)), CLASSES)

    expected = torch.autograd.functional.hessian(f, risk.x0)
    found = _columns(risk, "hessian", monkeypatch, by_graph=False)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("chain", ["tanh", "convolutions", "windows' maxima", "layer norms", "group norms", "tokens"])
@pytest.mark.parametrize("loss", ["cross entropy", "squared error"])
def test_many_at_once_are_single_ones(chain, loss, kind):
    risk = _risk(chain, loss, chunk_size=4)
    V = torch.randn(risk.dim, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        assert curvature.block > 1
        expected = torch.stack([curvature @ v for v in V.T.contiguous()], dim=1)
        assert torch.linalg.matrix_norm(curvature @ V - expected) <= 1e-14 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize(
    "names", [["1.weight"], ["1.bias"], ["3.bias"], ["3.weight", "5.bias"], ["5.weight", "1.bias"]]
)
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_frozen_parameters_take_no_part(names, kind, monkeypatch):
    part = _risk("tanh", "cross entropy").restricted(_risk("tanh", "cross entropy").x0, names)
    expected = _columns(part, kind, monkeypatch, by_graph=True)
    found = _columns(part, kind, monkeypatch, by_graph=False)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize(
    "names", [["1.weight"], ["1.bias"], ["4.weight", "6.bias"], ["6.weight"], ["9.weight", "0.bias"]]
)
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_parts_of_norms_are_frozen(names, kind, monkeypatch):
    part = _risk("layer norms", "cross entropy").restricted(_risk("layer norms", "cross entropy").x0, names)
    expected = _columns(part, kind, monkeypatch, by_graph=True)
    found = _columns(part, kind, monkeypatch, by_graph=False)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


def test_classes_that_are_ignored_count_for_nothing():
    targets = LOSSES["an ignored class"][1]
    module, inputs = _mlp(nn.Tanh()).double(), _inputs()
    chain = Chain.of(module, inputs.shape[1:])
    assert chain is not None
    named = dict(module.named_parameters())
    graph = chain.graph(named, functional.cross_entropy, inputs, targets, 1.0, "hessian")
    v = [torch.randn_like(p) for p in named.values()]
    value = functional.cross_entropy(module(inputs), targets)
    slope = torch.autograd.grad(value, list(named.values()), create_graph=True)
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(slope, list(named.values()), v)])
    assert torch.linalg.vector_norm(graph.product(v) - expected) <= 1e-13 * torch.linalg.vector_norm(expected)


class _Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def _hooked() -> nn.Module:
    module = _mlp(nn.Tanh())
    module[1].register_forward_hook(lambda layer, args, output: 2 * output)
    return module


def _tied() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer)


def _shared_weight() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    module[2].weight = module[0].weight
    return module


class _Probed(nn.Module):
    """A linear probe: the body is said to be trained, and is not."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        with torch.no_grad():
            seen = torch.tanh(self.body(x))
        return self.head(seen)


def _overridden() -> nn.Module:
    module = _mlp(nn.Tanh())
    module[2].forward = torch.sin
    return module


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(nn.Sequential(_Doubled(6, 3)), id="a subclass"),
        pytest.param(_hooked(), id="a hook"),
        pytest.param(_tied(), id="a layer used twice"),
        pytest.param(_shared_weight(), id="a weight of two layers"),
        pytest.param(_Probed(), id="a body without gradients"),
        pytest.param(_overridden(), id="another forward"),
        pytest.param(nn.Sequential(weight_norm(nn.Linear(6, 3))), id="a parametrisation"),
        pytest.param(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6).eval()), id="batch norm"),
        pytest.param(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)), id="dropout"),
        pytest.param(nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Dropout(0.5), nn.Tanh())), id="dropout within"),
        pytest.param(
            nn.Sequential(nn.Unflatten(1, (2, 1, 3)), nn.Conv2d(2, 2, 1, groups=2), nn.Flatten()), id="groups"
        ),
        pytest.param(
            nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 1, 1, padding="same"), nn.Flatten()), id="same"
        ),
        pytest.param(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 6)), nn.Linear(6, 3)), id="no examples"),
    ],
)
def test_what_is_no_plain_chain_goes_by_graph(module):
    assert Chain.of(module.double(), (6,)) is None


@pytest.mark.parametrize("make", [_shared_weight, _Probed])
def test_what_a_trace_does_not_show_is_differentiated_as_the_loss_is(make):
    """The Hessian's columns, and the Hessian itself, beside differences of gradients."""
    torch.manual_seed(0)
    risk = EmpiricalRisk(make().double(), functional.cross_entropy, _inputs(), CLASSES)
    step = 1e-6
    units = step * torch.eye(risk.dim, dtype=risk.dtype)
    expected = torch.stack(
        [(risk.evaluate(risk.x0 + u).gradient - risk.evaluate(risk.x0 - u).gradient) / (2 * step) for u in units], dim=1
    )
    if make is _Probed:
        expected[:, :28] = 0  # of the body nothing is differentiated, though the head's gradient changes with it
    with risk.curvature(risk.x0) as curvature:
        risk.evaluate(2 * risk.x0)  # what was evaluated since makes no difference
        found = curvature @ torch.eye(risk.dim, dtype=risk.dtype)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
    torch.testing.assert_close(risk.hessian(risk.x0), expected, rtol=0, atol=1e-8)


class _Smoothed(CrossEntropy):
    def __call__(self, outputs, targets):
        return functional.cross_entropy(outputs, targets, label_smoothing=0.3)


def test_a_subclass_of_our_cross_entropy_is_taken_for_what_it_computes(monkeypatch):
    torch.manual_seed(0)
    risk = EmpiricalRisk(CHAINS["tanh"]().double(), _Smoothed(), _inputs(), CLASSES)
    assert risk._chain is not None
    expected = _columns(risk, "hessian", monkeypatch, by_graph=True)
    found = _columns(risk, "hessian", monkeypatch, by_graph=False)
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)
