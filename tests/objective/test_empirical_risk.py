"""The risk of a module against finite differences, torch.func's dense Hessian, and itself in chunks."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.errors import ObjectiveError, OptionError, TooLargeError
from hessrun.objective import EmpiricalRisk

WEIGHT_DECAY = 0.3


def direction(n: int, seed: int = 1) -> Tensor:
    v = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return v / v.norm()


def reference(case, x: Tensor) -> Tensor:
    """f as one formula over all examples, by functional_call on slices of x: neither buffers nor chunks."""
    named, start = {}, 0
    for name, parameter in case.module.named_parameters():
        if parameter.requires_grad:
            named[name] = x[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        outputs = torch.func.functional_call(case.module, named, (case.inputs,))
    return case.loss(outputs, case.targets) + 0.5 * WEIGHT_DECAY * (x * x).sum()


def test_value_equals_the_formula_and_x0_is_the_modules_own(case):
    risk = case.risk(weight_decay=WEIGHT_DECAY)
    own = torch.cat([p.detach().reshape(-1) for p in case.module.parameters() if p.requires_grad])
    assert torch.equal(risk.x0, own)
    for x in (risk.x0, risk.x0 + direction(risk.dim)):
        expected = reference(case, x)
        assert torch.allclose(risk.evaluate(x).value, expected, rtol=1e-13, atol=0)
        assert torch.allclose(risk.evaluate(x, gradient=False).value, expected, rtol=1e-13, atol=0)


def test_gradient_matches_central_differences(case):
    risk = case.risk(weight_decay=WEIGHT_DECAY)
    gradient, h = risk.evaluate(risk.x0).gradient, 1e-5
    for i in range(risk.dim):
        e = torch.zeros_like(risk.x0)
        e[i] = h
        ahead, behind = (risk.evaluate(risk.x0 + sign * e, gradient=False).value for sign in (1, -1))
        assert gradient[i].item() == pytest.approx(float(ahead - behind) / (2 * h), rel=1e-7, abs=1e-9)


def test_products_match_central_differences_of_the_gradient(case):
    risk, h = case.risk(weight_decay=WEIGHT_DECAY), 1e-5
    v = direction(risk.dim)
    with risk.curvature(risk.x0) as curvature:
        product = curvature @ v
    ahead, behind = (risk.evaluate(risk.x0 + sign * h * v).gradient for sign in (1, -1))
    assert torch.allclose(product, (ahead - behind) / (2 * h), rtol=1e-7, atol=1e-8)


def test_hessian_equals_torch_func_and_the_products(case):
    risk = case.risk(weight_decay=WEIGHT_DECAY)
    hessian = risk.hessian(risk.x0)
    expected = torch.autograd.functional.hessian(lambda x: reference(case, x), risk.x0)
    assert torch.allclose(hessian, expected, rtol=1e-11, atol=1e-12)
    assert torch.equal(hessian, hessian.T)
    V = torch.stack([direction(risk.dim, seed) for seed in (1, 2, 3)], dim=1)
    with risk.curvature(risk.x0) as curvature:
        assert curvature.shape == (risk.dim, risk.dim)
        assert torch.allclose(curvature @ V, hessian @ V, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 10, 11, 100])
def test_chunks_with_a_ragged_last_one_give_the_whole(case, chunk_size):
    whole, parts = case.risk(chunk_size=11), case.risk(chunk_size=chunk_size)
    x, v = whole.x0 + 0.1 * direction(whole.dim), direction(whole.dim, 2)
    one, many = whole.evaluate(x), parts.evaluate(x)
    assert torch.allclose(one.value, many.value, rtol=1e-13, atol=1e-15)
    assert torch.allclose(one.gradient, many.gradient, rtol=1e-12, atol=1e-14)
    with whole.curvature(x) as first, parts.curvature(x) as second:
        assert torch.allclose(first @ v, second @ v, rtol=1e-11, atol=1e-13)
    assert torch.allclose(whole.outputs(x), parts.outputs(x), rtol=1e-12, atol=1e-14)


def test_graphs_that_do_not_fit_are_rebuilt_for_each_product(case):
    kept, rebuilt = case.risk(chunk_size=4), case.risk(chunk_size=4, graph_memory=0)
    v = direction(kept.dim)
    with kept.curvature(kept.x0) as curvature:
        expected = curvature @ v
    with rebuilt.curvature(rebuilt.x0) as curvature:
        assert torch.equal(curvature @ v, expected)
        assert torch.equal(curvature @ v, expected)


def test_the_same_x_gives_the_same_bits_after_others(case):
    risk = case.risk(chunk_size=4)
    first = risk.evaluate(risk.x0)
    risk.evaluate(risk.x0 + 1.0)
    again = risk.evaluate(risk.x0)
    assert torch.equal(first.value, again.value)
    assert torch.equal(first.gradient, again.gradient)


def test_nothing_outside_is_touched(case):
    before = copy.deepcopy(case.module.state_dict())
    modes = [part.training for part in case.module.modules()]
    marks = [torch.full_like(p, 5.0) for p in case.module.parameters()]
    for parameter, mark in zip(case.module.parameters(), marks, strict=True):
        parameter.grad = mark
    generator = torch.get_rng_state()
    risk = case.risk(chunk_size=4)
    risk.evaluate(risk.x0 + 1.0)
    risk.hessian(risk.x0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(before[name], value) for name, value in case.module.state_dict().items())
    assert [part.training for part in case.module.modules()] == modes
    assert all(p.grad is mark for p, mark in zip(case.module.parameters(), marks, strict=True))
    assert all(torch.equal(mark, torch.full_like(mark, 5.0)) for mark in marks)


def test_state_dict_loads_into_the_plain_module(case):
    risk = case.risk()
    x = risk.x0 + direction(risk.dim)
    weights = risk.state_dict(x)
    risk.evaluate(risk.x0)
    plain = copy.deepcopy(case.module)
    plain.load_state_dict(weights)
    assert torch.allclose(plain(case.inputs), risk.outputs(x), rtol=1e-13, atol=1e-15)


def test_subset_is_the_mean_over_its_examples_and_counts_on_the_same_counter(case):
    risk = case.risk()
    index = torch.tensor([0, 4, 9])
    batch = risk.subset(index)
    alone = EmpiricalRisk(case.module, case.loss, case.inputs[index], case.targets[index])
    assert torch.allclose(batch.evaluate(risk.x0).gradient, alone.evaluate(risk.x0).gradient, rtol=1e-12, atol=1e-14)
    assert risk.counts.gradients == 3 / 11
    assert alone.counts.gradients == 1


def test_another_split_has_no_decay_and_a_counter_of_its_own():
    module = nn.Linear(2, 1).double()
    inputs, targets = torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    risk = EmpiricalRisk(module, functional.mse_loss, inputs, targets, weight_decay=10.0)
    other = risk.on(inputs, targets)
    assert torch.equal(other.evaluate(risk.x0).value, functional.mse_loss(module(inputs), targets))
    assert other.counts.gradients == 1
    assert risk.counts.gradients == 0


@pytest.mark.parametrize(
    ("decay", "weights"),
    [
        (0.5, [0.5] * 8),
        ({"*": 0.5}, [0.5] * 8),
        ({"*.weight": 2.0}, [2] * 4 + [0] * 2 + [2] * 2),
        ({"0.bias": 3.0, "*": 1.0}, [1] * 4 + [3] * 2 + [1] * 2),
        ({"*": 1.0, "0.bias": 3.0}, [1] * 8),
    ],
)
def test_weight_decay_per_pattern_enters_value_gradient_and_hessian(decay, weights):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False)).double()
    inputs, targets = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    plain = EmpiricalRisk(module, functional.mse_loss, inputs, targets)
    decayed = EmpiricalRisk(module, functional.mse_loss, inputs, targets, weight_decay=decay)
    w, x = torch.tensor(weights, dtype=torch.float64), plain.x0
    difference = decayed.evaluate(x).value - plain.evaluate(x).value
    assert torch.allclose(difference, 0.5 * (w * x * x).sum())
    assert torch.allclose(decayed.evaluate(x).gradient - plain.evaluate(x).gradient, w * x)
    assert torch.allclose(decayed.hessian(x) - plain.hessian(x), torch.diag(w), atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": -1.0}, "weight_decay=-1.0: must be a finite number, 0 or above"),
        ({"weight_decay": {"*": -1.0}}, r"weight_decay\[\*\]=-1.0: must be"),
        ({"weight_decay": {"wieght": 1.0}}, "no parameter matches 'wieght'; there are weight, bias"),
        ({"chunk_size": 0}, "chunk_size=0: must be a whole number, 1 or above"),
        ({"graph_memory": -1}, "graph_memory=-1: must be a whole number, 0 or above"),
        ({"graph_memory": 1e9}, "graph_memory=1000000000.0: must be a whole number, 0 or above"),
    ],
)
def test_options_out_of_range(options, message):
    data = torch.ones(3, 2)
    with pytest.raises(OptionError, match=message):
        EmpiricalRisk(nn.Linear(2, 1), functional.mse_loss, data, torch.ones(3, 1), **options)


@pytest.mark.parametrize(("inputs", "targets"), [(3, 2), (0, 0)])
def test_examples_that_do_not_pair_up(inputs, targets):
    with pytest.raises(OptionError, match=f"equally many, one or more: {inputs} and {targets}"):
        EmpiricalRisk(nn.Linear(2, 1), functional.mse_loss, torch.ones(inputs, 2), torch.ones(targets, 1))


def test_a_module_without_trainable_parameters():
    with pytest.raises(ObjectiveError, match="Flatten has no parameter that requires a gradient"):
        EmpiricalRisk(nn.Flatten(), functional.mse_loss, torch.ones(3, 2), torch.ones(3, 2))


def test_a_hessian_that_does_not_fit_is_refused_with_figures(monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 2**20)
    risk = EmpiricalRisk(
        nn.Linear(1000, 1).double(), functional.mse_loss, torch.ones(2, 1000).double(), torch.ones(2, 1).double()
    )
    with pytest.raises(
        TooLargeError,
        match=r"The Hessian at n = 1,001 needs 15\.3 MiB .* the limit here is 1\.0 MiB, .* Use products \(curvature\)",
    ):
        risk.hessian(risk.x0)
    assert risk.counts.hessian_columns == 0
