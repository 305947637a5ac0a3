"""The Hessian by layers against double backward and closed forms, over architectures; and what it must refuse."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk, InMemory
from hessrun.objective.layers import LayeredHessian, agrees

N, IN, OUT = 23, 5, 3


class Skip(nn.Module):
    """Two branches that meet again, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, OUT)  # registered before it is called
        self.first = nn.Linear(IN, 4)
        self.inner = nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        h = h + functional.gelu(self.inner(h))
        h += 0.5
        return self.last(h)


class Gate(nn.Module):
    """Parallel layers of which one multiplies the other."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.out = nn.Linear(IN, 4), nn.Linear(IN, 4), nn.Linear(4, OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.value(x) * torch.sigmoid(self.gate(x)))


class Pooled(nn.Module):
    """An image's frozen convolution and its pooling before the layers, a norm without parameters between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 2, 2).requires_grad_(False)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, OUT))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(functional.max_pool1d(self.conv(x[:, None]), 2).flatten(1))


class TwiceCalled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(IN, IN), nn.Linear(IN, OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(torch.tanh(self.a(x)))))


class Sneaky(nn.Module):
    """A weight that is used outside its layer as well: only numbers show it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(IN, IN), nn.Linear(IN, OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(functional.linear(x, self.a.weight))))


class Sequence3d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 2), nn.Linear(2, OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x[:, :, None])).mean(1))


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.fails = nn.Linear(IN, OUT), False

    def forward(self, x: Tensor) -> Tensor:
        out = self.a(x)
        if self.fails:
            raise RuntimeError("on purpose")
        return out


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(IN, IN), nn.Tanh(), nn.Linear(IN, IN), nn.Tanh(), nn.Linear(IN, OUT))
    model[2].weight = model[0].weight
    return model


def _partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(IN, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, OUT))
    model[0].bias.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    return model


LAYERED: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(IN, OUT),
    "one hidden layer": lambda: nn.Sequential(nn.Linear(IN, 4), nn.Tanh(), nn.Linear(4, OUT)),
    "narrow": lambda: nn.Sequential(nn.Linear(IN, 2), nn.Tanh(), nn.Linear(2, OUT)),
    "two hidden layers": lambda: nn.Sequential(
        nn.Linear(IN, 4), nn.SiLU(), nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, OUT)
    ),
    "no bias": lambda: nn.Sequential(nn.Linear(IN, 7, bias=False), nn.GELU(), nn.Linear(7, OUT, bias=False)),
    "no activation": lambda: nn.Sequential(nn.Linear(IN, 4), nn.Linear(4, OUT)),
    "partly frozen": _partly_frozen,
    "skip": Skip,
    "gate": Gate,
    "pooled": Pooled,
}
REFUSED: dict[str, Callable[[], nn.Module]] = {
    "called twice": TwiceCalled,
    "tied": _tied,
    "three dimensions": Sequence3d,
    "other parameters": lambda: nn.Sequential(nn.Linear(IN, 4), nn.LayerNorm(4), nn.Linear(4, OUT)),
    "never called": lambda: nn.ModuleDict({"a": nn.Linear(IN, OUT), "b": nn.Linear(IN, OUT)}),
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(IN, OUT)),
}
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross entropy": lambda outputs, labels: functional.cross_entropy(outputs, labels),
    "squared error": lambda outputs, labels: functional.mse_loss(outputs, functional.one_hot(labels, OUT).to(outputs)),
    "linear": lambda outputs, labels: outputs.gather(1, labels[:, None]).mean(),
}


def _risk(
    make: Callable[[], nn.Module], loss: str = "cross entropy", examples: int = N, **options: object
) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(examples, IN, generator=generator, dtype=torch.float64)
    labels = torch.randint(OUT, (examples,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = make().double()
    return EmpiricalRisk(module, LOSSES[loss], inputs, labels, **options)  # type: ignore[arg-type]


def _dense(risk: EmpiricalRisk) -> Tensor:
    """The Hessian of the mean loss by double backward of the whole function."""

    def value(x: Tensor) -> Tensor:
        outputs = torch.func.functional_call(risk.module, risk.layout.named(x), (risk.inputs,))
        return risk.loss(outputs, risk.targets)

    return torch.autograd.functional.hessian(value, risk.x0)


def _by_layers(risk: EmpiricalRisk, chunk_size: int = 10**6) -> tuple[LayeredHessian, Tensor]:
    layered = LayeredHessian.inspect(risk.module, risk.inputs)
    assert layered is not None
    named = risk.named_views(risk.x0)
    hessian = layered.hessian(named, risk.loss, risk.examples, chunk_size=chunk_size)
    assert hessian is not None
    return layered, hessian


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", LAYERED)
def test_it_is_the_hessian(name: str, loss: str) -> None:
    risk = _risk(LAYERED[name], loss)
    layered, hessian = _by_layers(risk)
    expected = _dense(risk)
    torch.testing.assert_close(hessian, expected, rtol=0, atol=1e-12 * max(1.0, float(expected.norm())))
    assert torch.equal(hessian, hessian.T)
    assert layered.dim == risk.dim


def test_one_hidden_layer_wide_enough_for_long_products() -> None:
    """More pairs of outputs than the few rows that go one by one."""
    risk = _risk(lambda: nn.Sequential(nn.Linear(IN, 16), nn.Tanh(), nn.Linear(16, OUT)), examples=301)
    torch.testing.assert_close(_by_layers(risk)[1], _dense(risk), rtol=0, atol=1e-12)


def test_chunks_with_a_ragged_last_one_are_weighted_by_their_size() -> None:
    risk = _risk(LAYERED["one hidden layer"])
    torch.testing.assert_close(_by_layers(risk, 10)[1], _by_layers(risk)[1], rtol=0, atol=1e-14)


def test_softmax_regression_is_a_mean_of_kronecker_products() -> None:
    risk = _risk(lambda: nn.Linear(IN, OUT, bias=False))
    p = torch.softmax(risk.outputs(risk.x0), 1)
    expected = sum(
        torch.kron(torch.diag(q) - torch.outer(q, q), torch.outer(u, u)) for q, u in zip(p, risk.inputs, strict=True)
    )
    torch.testing.assert_close(_by_layers(risk)[1], expected / N, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_inspection(name: str) -> None:
    module = REFUSED[name]().double()
    if name == "never called":
        module.forward = module["a"].forward  # type: ignore[method-assign, operator]
    inputs = torch.randn(N, IN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert LayeredHessian.inspect(module, inputs) is None


def test_the_risk_takes_it_and_counts_its_columns() -> None:
    decay = {"*weight": 0.3}
    risk = _risk(LAYERED["one hidden layer"], weight_decay=decay, chunk_size=10)
    expected = _dense(risk) + torch.diag(
        torch.tensor([0.3] * 20 + [0.0] * 4 + [0.3] * 12 + [0.0] * 3, dtype=torch.float64)
    )
    torch.testing.assert_close(risk.hessian(risk.x0), expected, rtol=0, atol=1e-12)
    # The widths 4 + 3, and the product that verifies.
    assert risk.counts.hessian_columns == 8
    assert risk.counts.products == 0


@pytest.mark.parametrize("make", [Sneaky, TwiceCalled])
def test_the_risk_goes_by_products_where_it_must(make: Callable[[], nn.Module]) -> None:
    risk = _risk(make)
    torch.testing.assert_close(risk.hessian(risk.x0), _dense(risk), rtol=0, atol=1e-12)
    assert risk.counts.hessian_columns == risk.dim


def test_one_product_tells_a_wrong_hessian() -> None:
    risk = _risk(Sneaky)
    hessian = _by_layers(risk)[1]
    with risk.curvature(risk.x0) as curvature:
        assert not agrees(hessian, curvature, torch.Generator().manual_seed(0))
        assert agrees(_dense(risk), curvature, torch.Generator().manual_seed(0))


def test_a_path_that_depends_on_the_parameters_is_noticed() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(IN, IN), nn.Linear(IN, OUT)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)) if self.a.bias.sum() < 50 else self.b(self.a(self.a(x)))

    risk = _risk(Fickle)
    layered = LayeredHessian.inspect(risk.module, risk.inputs)
    assert layered is not None
    named = risk.named_views(risk.x0 + 100)
    assert layered.hessian(named, risk.loss, risk.examples, chunk_size=N) is None


def test_the_module_stays_as_it_was_also_after_an_exception() -> None:
    risk = _risk(Failing)
    layered, _ = _by_layers(risk)
    before = {name: value.clone() for name, value in risk.module.state_dict().items()}
    state = torch.random.get_rng_state()
    _by_layers(risk)
    risk.module.fails = True  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="on purpose"):
        layered.hessian(risk.named_views(risk.x0), risk.loss, risk.examples, chunk_size=N)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in risk.module.state_dict().items())
    assert all(parameter.grad is None for parameter in risk.module.parameters())
    assert not any(part._forward_hooks for part in risk.module.modules())


def test_buffers_stay_as_they_were() -> None:
    """A batch norm in training mode moves its running mean; the Hessian is made on copies."""
    module = nn.Sequential(nn.Linear(IN, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, OUT)).double()
    inputs = torch.randn(N, IN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layered = LayeredHessian.inspect(module, inputs)
    assert layered is not None
    examples = InMemory(inputs, inputs)
    layered.hessian(dict(module.named_parameters()), lambda o, _: o.pow(2).mean(), examples, chunk_size=N)
    assert int(module[1].num_batches_tracked) == 0  # type: ignore[arg-type]
    assert not module[1].running_mean.any()  # type: ignore[union-attr, operator]


def test_rounding_near_interpolation_is_no_disagreement() -> None:
    """Where the network meets its targets, p - y cancels, and layers and products lose different digits."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(200, IN, generator=generator, dtype=torch.float64)
    risk = _risk(LAYERED["one hidden layer"])
    risk = EmpiricalRisk(risk.module, functional.cross_entropy, inputs, torch.zeros(200, dtype=torch.long))
    x = risk.x0.clone()
    x[-OUT:] = torch.tensor([22.0, 0.0, 0.0], dtype=torch.float64)
    assert 1e-11 < float(risk.evaluate(x).value) < 1e-8
    risk.hessian(x)
    assert risk.counts.hessian_columns == 8
