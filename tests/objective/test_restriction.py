"""Named layers: the principal submatrix of the whole matrix, in every form in which an objective can be had."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessrun.curvature import density, eigenvalues, spectrum, trace
from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk, FunctionObjective, Objective, as_objective, restrict
from hessrun.objective.closure import ClosureObjective, LiveParameters
from hessrun.objective.counts import Counter
from hessrun.objective.layers import LayeredHessian
from hessrun.problems.models import lenet

GENERATOR = torch.Generator().manual_seed(0)
DECAY = {"0.*": 0.2, "*.bias": 0.05, "4.weight": 0.7}
PATTERNS = ["0.weight", "*.bias", "2.*", ["4.*", "0.bias"], "*"]


def mlp_risk(dtype=torch.float64, **options) -> EmpiricalRisk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)
        inputs, classes = torch.randn(23, 4).to(dtype), torch.randint(3, (23,))
    return EmpiricalRisk(module, functional.cross_entropy, inputs, classes, weight_decay=DECAY, **options)


def lenet_risk() -> EmpiricalRisk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = lenet((1, 12, 12), 10).double()
        inputs, classes = torch.randn(7, 1, 12, 12, dtype=torch.float64), torch.randint(10, (7,))
    return EmpiricalRisk(module, functional.cross_entropy, inputs, classes, weight_decay={"*.weight": 0.1})


def places(objective: Objective, names: list[str]) -> torch.Tensor:
    views = objective.named_views(torch.arange(objective.dim))
    return torch.cat([views[name].reshape(-1) for name in names])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("chunk_size", [23, 10])
@pytest.mark.parametrize("graph_memory", [0, 2**30])
def test_matrices_are_principal_submatrices(pattern, chunk_size, graph_memory):
    risk = mlp_risk(chunk_size=chunk_size, graph_memory=graph_memory)
    x = risk.x0 + 0.1 * torch.randn(risk.dim, generator=GENERATOR, dtype=torch.float64)
    part, z = restrict(risk, x, pattern)
    at = places(risk, list(part.named_views(z)))
    assert torch.equal(z, x[at])
    assert torch.equal(part.x0, z)
    for kind in part.curvature_kinds():
        with risk.curvature(x, kind=kind) as whole, part.curvature(z, kind=kind) as block:
            C = whole @ torch.eye(risk.dim, dtype=torch.float64)
            B = block @ torch.eye(part.dim, dtype=torch.float64)
        assert torch.allclose(B, C[at][:, at], rtol=1e-10, atol=1e-13)
    assert torch.allclose(part.hessian(z), risk.hessian(x)[at][:, at], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_value_and_gradient_are_those_of_the_whole_also_away_from_the_point(pattern):
    risk = mlp_risk(chunk_size=9)
    x = risk.x0.clone()
    part, z = restrict(risk, x, pattern)
    at = places(risk, list(part.named_views(z)))
    z = z + torch.randn(part.dim, generator=GENERATOR, dtype=torch.float64)
    moved = x.index_put((at,), z)
    x.zero_()  # the frozen ones are copies
    expected = risk.evaluate(moved)
    for found in (part.evaluate(z), part.evaluate(z, gradient=False)):
        assert torch.allclose(found.value, expected.value, rtol=1e-13)
    assert torch.allclose(part.evaluate(z).gradient, expected.gradient[at], rtol=1e-11, atol=1e-14)


def test_lenet_by_products_and_its_last_layers_by_layers():
    risk = lenet_risk()
    names = list(risk.named_views(risk.x0))
    convolution, z = restrict(risk, risk.x0, "0.*")
    at = places(risk, ["0.weight", "0.bias"])
    V = torch.randn(convolution.dim, 3, generator=GENERATOR, dtype=torch.float64)
    embedded = torch.zeros(risk.dim, 3, dtype=torch.float64).index_put((at,), V)
    for kind in ("hessian", "gauss_newton"):
        with risk.curvature(risk.x0, kind=kind) as whole, convolution.curvature(z, kind=kind) as block:
            assert torch.allclose(block @ V, (whole @ embedded)[at], rtol=1e-9, atol=1e-13)
    assert LayeredHessian.inspect(convolution.module, convolution.inputs) is None

    last, z = restrict(risk, risk.x0, [names[-1], names[-2]])
    assert LayeredHessian.inspect(last.module, last.inputs) is not None
    H = last.hessian(z)
    assert last.counts.hessian_columns == 10 + 1
    with last.curvature(z) as block:
        assert torch.allclose(H[:, :5], block @ torch.eye(last.dim, dtype=torch.float64)[:, :5], rtol=1e-9, atol=1e-13)


def test_products_differentiate_in_the_matching_parameters_alone():
    risk = lenet_risk()
    last, z = restrict(risk, risk.x0, "11.*")
    assert [n for n, p in last.module.named_parameters() if p.requires_grad] == ["11.weight", "11.bias"]
    assert all(p.requires_grad for p in risk.module.parameters())

    def saved(objective, x):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            objective.curvature(x).close()
        return sum(kept)

    assert saved(last, z) < 0.1 * saved(risk, risk.x0)


def test_single_precision():
    exact, single = mlp_risk(), mlp_risk(torch.float32)
    for pattern in PATTERNS:
        part, z = restrict(exact, exact.x0, pattern)
        rounded, w = restrict(single, single.x0, pattern)
        assert torch.allclose(rounded.hessian(w).double(), part.hessian(z), atol=1e-5)
        twin = part.in_dtype(torch.float32)
        assert torch.allclose(twin.evaluate(z.float()).value.double(), part.evaluate(z).value, rtol=1e-5)
        v = torch.randn(part.dim, generator=GENERATOR, dtype=torch.float64)
        with part.curvature(z, dtype=torch.float32) as low, part.curvature(z) as high:
            assert torch.allclose(low @ v, high @ v, rtol=1e-3, atol=1e-5)


def test_it_counts_where_the_whole_counts_unless_uncounted():
    risk = mlp_risk()
    part, z = restrict(risk, risk.x0, "2.*")
    part.evaluate(z)
    with part.curvature(z) as block:
        block @ z
    assert (risk.counts.gradients, risk.counts.products) == (1, 1)
    alone, z = restrict(risk.uncounted(), risk.x0, "2.*")
    alone.evaluate(z)
    alone.in_dtype(torch.float32).evaluate(z.float())
    assert risk.counts.gradients == 1
    assert alone.counts.gradients == 2


def test_a_twin_made_before_counts_on_the_counter_of_the_one_that_is_asked():
    risk = mlp_risk()
    risk.in_dtype(torch.float32)
    look = risk.uncounted()
    look.in_dtype(torch.float32).evaluate(risk.x0.float())
    assert (risk.counts.gradients, look.counts.gradients) == (0, 1)


def test_subsets_other_splits_and_restrictions_of_restrictions():
    risk = mlp_risk()
    part, z = restrict(risk, risk.x0, ["0.*", "2.*"])
    indices = torch.arange(3, 11)
    assert torch.allclose(part.subset(indices).evaluate(z).value, risk.subset(indices).evaluate(risk.x0).value)
    other = part.on(risk.inputs, risk.targets).evaluate(z).value
    assert torch.allclose(other, risk.on(risk.inputs, risk.targets).evaluate(risk.x0).value, rtol=1e-14)
    inner, w = restrict(part, z, "2.bias")
    assert torch.allclose(inner.evaluate(w).value, risk.evaluate(risk.x0).value, rtol=1e-14)
    at = places(risk, ["2.bias"])
    assert torch.allclose(inner.hessian(w), risk.hessian(risk.x0)[at][:, at], atol=1e-14)


def test_whatever_is_computed_from_an_objective_has_a_form_by_layers():
    risk = mlp_risk()
    part, z = restrict(risk, risk.x0, "2.*")
    at = places(risk, ["2.weight", "2.bias"])
    exact = torch.linalg.eigvalsh(risk.hessian(risk.x0)[at][:, at])
    assert spectrum(part, z).n == part.dim == 24
    pairs = eigenvalues(part, z, largest=2, tolerance=1e-8)
    assert torch.allclose(pairs.values.sort().values, exact[-2:], rtol=1e-6)
    assert density(part, z, probes=2, steps=24).n == 24
    assert trace(part, z, products=200).value == pytest.approx(float(exact.sum()), rel=1e-6)


def test_tied_and_frozen_parameters(case):
    risk = case.risk(weight_decay=0.3)
    for name in risk.layout.names:
        part, z = restrict(risk, risk.x0, name)
        at = places(risk, [name])
        assert torch.allclose(part.hessian(z), risk.hessian(risk.x0)[at][:, at], rtol=1e-9, atol=1e-12)


def test_a_closure_and_a_function_are_cut():
    weights = [
        torch.randn(2, 3, generator=GENERATOR).double().requires_grad_(),
        torch.ones(2).double().requires_grad_(),
    ]
    at = LiveParameters(weights, ["w", "b"])
    f = ClosureObjective(
        lambda: (torch.tanh(weights[0] @ torch.ones(3).double()) * weights[1]).pow(2).sum(), at, Counter(1)
    )
    x = at.read()
    part, z = restrict(f, x, "w")
    H, g = f.hessian(x), f.evaluate(x).gradient
    assert z.shape == (6,)
    assert {name: view.shape for name, view in part.named_views(z).items()} == {"w": (2, 3)}
    assert torch.allclose(part.hessian(z), H[:6, :6], atol=1e-14)
    assert torch.equal(part.evaluate(z).gradient, g[:6])
    assert part.evaluate(z, gradient=False).gradient_or_none is None
    with part.curvature(z) as block:
        assert torch.allclose(block @ H[:6], H[:6, :6] @ H[:6], atol=1e-13)

    def cube(x):
        return (x**3).sum()

    start = torch.arange(1.0, 4.0)
    whole: FunctionObjective = as_objective(cube, start)
    same, z = restrict(whole, start, "x")
    assert torch.equal(same.hessian(z), torch.diag(6 * start))
    assert same.in_dtype(torch.float32) is same
    with pytest.raises(OptionError, match="float32 alone"):
        same.in_dtype(torch.float64)


@pytest.mark.parametrize("pattern", ["fc*", ["0.*", "fc*"], ["0.*", 3], None, 5])
def test_a_pattern_that_matches_nothing_lists_the_names(pattern):
    risk = mlp_risk()
    message = r"No parameter matches ('fc\*'|3|None|5); there are 0\.weight, 0\.bias, 2\.weight"
    with pytest.raises(OptionError, match=message):
        restrict(risk, risk.x0, pattern)


def test_no_pattern_and_a_wrong_point():
    risk = mlp_risk()
    with pytest.raises(OptionError, match="No pattern of parameter names is given; there are"):
        restrict(risk, risk.x0, [])
    with pytest.raises(OptionError, match=r"x must be a vector \[61\]|x must be a vector"):
        restrict(risk, risk.x0[:-1], "*")
