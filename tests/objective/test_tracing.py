"""Modules with a forward of their own: the layers that they call, and products without a graph if in a row."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk
from hessrun.objective.chain import Chain
from hessrun.problems.models import resnet18

N = 7


class _Convolutional(nn.Module):
    """The example that every tutorial begins with."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 2, padding=2), nn.Conv2d(2, 3, 2, padding=1)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.5)
        self.body = nn.Sequential(nn.Linear(9, 5), nn.ReLU(inplace=True))
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.pool(functional.relu(self.conv1(x)))
        x = functional.max_pool2d(functional.relu(self.conv2(x), inplace=True), (3, 2), 1, ceil_mode=True)
        x = self.drop(x.view(x.size(0), -1))
        return self.head(functional.dropout(torch.tanh(self.body(x)), training=self.training))


class _Of(nn.Module):
    """A forward given as a function of the module and its inputs."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._called = forward

    def forward(self, x):
        return self._called(self, x)


class _Residual(nn.Module):
    """x + f(x), in place as torchvision's blocks do."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.one, self.two = nn.LayerNorm(width), nn.Linear(width, 5), nn.Linear(5, width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.two(torch.tanh(self.one(self.norm(x))))
        out += x
        return self.relu(out)


class _Sequence(nn.Sequential):
    """A class of one's own that changes nothing."""


def _two() -> dict[str, nn.Module]:
    return {"first": nn.Linear(6, 4), "last": nn.Linear(4, 3)}


ACTIVATIONS = {
    "relu, a method": lambda z: z.relu(),
    "tanh, a method": lambda z: z.tanh(),
    "sigmoid": torch.sigmoid,
    "gelu": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "elu": lambda z: functional.elu(z, 0.5, True),
    "celu": lambda z: functional.celu(z, alpha=0.7),
    "leaky relu": lambda z: functional.leaky_relu(z, 0.3),
    "softplus": lambda z: functional.softplus(z, 2.0),
    "selu": functional.selu,
    "mish": functional.mish,
    "softsign": functional.softsign,
    "log-sigmoid": functional.logsigmoid,
}
SEQUENCES = {
    "a tutorial's network": (lambda: _Convolutional().eval(), (1, 2, 3)),
    "a subclass of Sequential": (lambda: _Sequence(nn.Flatten(), nn.Linear(6, 3), nn.Tanh()), (2, 3)),
    "within a Sequential": (
        lambda: nn.Sequential(_Of(lambda m, x: m.last(m.first(x).tanh()), **_two()), nn.Sigmoid()), (6,)
    ),
    "shape, reshape": (lambda: _Of(lambda m, x: m.last(m.first(x.reshape(x.shape[0], -1)).tanh()), **_two()), (2, 3)),
    "view of a number": (lambda: _Of(lambda m, x: m.last(m.first(x.view(-1, 6)).tanh()), **_two()), (2, 3)),
    "images made of vectors": (
        lambda: _Of(
            lambda m, x: m.last(torch.flatten(functional.avg_pool2d(m.conv(x.view(x.size(0), 1, 2, 3)), (1, 2), 1), 1)),
            conv=nn.Conv2d(1, 2, 1), last=nn.Linear(8, 3),
        ),
        (6,),
    ),
    "sums": (
        lambda: _Of(
            lambda m, x: m.last(torch.add(m.first(x), m.other(x).tanh()).relu()), other=nn.Linear(6, 4), **_two()
        ),
        (6,),
    ),
    "residual blocks": (lambda: nn.Sequential(_Residual(6), _Residual(6), nn.Linear(6, 3)), (6,)),
    "twice itself": (lambda: _Of(lambda m, x: m.last((z := m.first(x).tanh()) + z.add(z)), **_two()), (6,)),
    "a path of constants": (
        lambda: _Of(lambda m, x: m.last(m.norm(x).tanh() + m.drop(x)), norm=nn.GroupNorm(2, 6, affine=False),
                    drop=nn.Dropout().eval(), last=nn.Linear(6, 3)),
        (6,),
    ),
    **{
        name: (lambda f=f: _Of(lambda m, x: m.last(f(m.first(x))), **_two()), (6,)) for name, f in ACTIVATIONS.items()
    },
}  # fmt: skip


def _risk(module: nn.Module, shape: tuple[int, ...], examples: int = N) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(examples, *shape, generator=generator, dtype=torch.float64)
    return EmpiricalRisk(module.double(), functional.cross_entropy, inputs, torch.arange(examples) % 3, chunk_size=4)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_products_are_those_of_double_backward(name, kind, monkeypatch):
    make, shape = SEQUENCES[name]
    torch.manual_seed(0)
    risk = _risk(make(), shape)
    assert risk._chain is not None
    unit = torch.eye(risk.dim, dtype=risk.dtype)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        found = curvature @ unit
    monkeypatch.setattr(risk, "_chain", None)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        expected = curvature @ unit
    assert float(torch.linalg.matrix_norm(expected)) > 0
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_a_residual_network_of_convolutions_and_group_norms(kind, monkeypatch):
    """ResNet-18 as it is shipped, 11 million parameters, on two tiny images: one product in double precision."""
    torch.manual_seed(0)
    risk = _risk(resnet18((1, 16, 16), 3), (1, 16, 16), examples=2)
    assert risk._chain is not None
    v = torch.randn(risk.dim, generator=torch.Generator().manual_seed(1), dtype=risk.dtype)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        found = curvature @ v
    monkeypatch.setattr(risk, "_chain", None)
    with risk.curvature(risk.x0, kind=kind) as curvature:
        expected = curvature @ v
    assert torch.linalg.vector_norm(found - expected) <= 1e-12 * torch.linalg.vector_norm(expected)


def _hooked() -> nn.Module:
    module = _Of(lambda m, x: m.last(m.first(x).tanh()), **_two())
    module.first.register_forward_hook(lambda layer, args, output: 2 * output)
    return module


def _overridden() -> nn.Module:
    module = _Of(lambda m, x: m.last(m.first(x).tanh()), **_two())
    module.last.forward = lambda x: x[:, :3]
    return module


def _by_value(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return m.last(m.first(x)) if x.sum() > 0 else m.last(m.first(-x))


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(_Of(lambda m, x: m.first(x) * m.other(x), other=nn.Linear(6, 4), **_two()), id="a product"),
        pytest.param(_Of(lambda m, x: m.last(m.first(x) + 1), **_two()), id="a number added"),
        pytest.param(_Of(lambda m, x: m.last(m.first(x)) + m.one(x), one=nn.Linear(6, 1), **_two()), id="broadcast"),
        pytest.param(_Of(lambda m, x: m.last(torch.add(m.first(x), m.first(x), alpha=2)), **_two()), id="a multiple"),
        pytest.param(
            _Of(lambda m, x: m.last(m.first(x)) * m.scale, scale=nn.Parameter(torch.ones(3)), **_two()), id="*"
        ),
        pytest.param(_Of(lambda m, x: m.first(x), **_two()), id="a layer that takes no part"),
        pytest.param(
            _Of(lambda m, x: m.last(m.square(m.square(x)[:, :4])), square=nn.Linear(6, 6)), id="twice, by part"
        ),
        pytest.param(_Of(lambda m, x: m.square(m.square(x).tanh()), square=nn.Linear(6, 6)), id="a layer called twice"),
        pytest.param(_Of(_by_value, **_two()), id="by value"),
        pytest.param(_Of(lambda m, x: torch.cat([m.first(x), x], 1), **_two()), id="side by side"),
        pytest.param(_Of(lambda m, x: {"logits": m.last(m.first(x))}, **_two()), id="a dictionary"),
        pytest.param(_Of(lambda m, x: m.last(functional.softmax(m.first(x), dim=1)), **_two()), id="another function"),
        pytest.param(_Of(lambda m, x: m.last(m.first(x).cos()), **_two()), id="another method"),
        pytest.param(_Of(lambda m, x: m.last(functional.dropout(m.first(x), 0.1)), **_two()), id="dropout that is on"),
        pytest.param(
            _Of(lambda m, x: m.last(m.cut(m.first(x).view(-1, 2)).view(-1, 4)), cut=nn.Linear(2, 2), **_two()),
            id="examples cut",
        ),
        pytest.param(_Of(lambda m, x: m.last(m.first(x.view(x.shape[1] // 6, -1))), **_two()), id="sizes"),
        pytest.param(_Of(lambda m, x: (m.last(m.first(x)), x)[0], **_two(), own=nn.Linear(1, 1)), id="a part unused"),
        pytest.param(_Of(lambda m, x: functional.linear(x, m.first.weight), **_two()), id="bare parameters"),
        pytest.param(_hooked(), id="a hook"),
        pytest.param(_overridden(), id="another forward"),
    ],
)
def test_what_is_no_sequence_goes_by_graph(module):
    assert Chain.of(module.double(), (6,)) is None


def test_a_forward_with_one_more_argument_is_no_sequence():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x, scale=2.0):
            return self.layer(x) * scale

    assert Chain.of(Scaled().double(), (6,)) is None


def test_the_module_is_left_as_it_was():
    """A forward that notes what it saw: its note is of tensors again after the next call."""

    def forward(m, x):
        m.seen = m.first(x)
        return m.last(m.seen.tanh())

    module = _Of(forward, **_two())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    risk = _risk(module, (6,))
    assert risk._chain is not None
    risk.evaluate(risk.x0)
    assert isinstance(risk.module.seen, torch.Tensor)
    assert not hasattr(module, "seen")
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
