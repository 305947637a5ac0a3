"""Products with the Gauss-Newton matrix against a dense one, example by example."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessrun.errors import ObjectiveError, OptionError
from hessrun.objective import EmpiricalRisk, as_objective
from hessrun.objective.products import GradientGraph

WEIGHT_DECAY = 0.3


def dense(case, risk):
    """1/N sum_i J_i' H_i J_i + w I, example by example."""
    names = [name for name, p in case.module.named_parameters() if p.requires_grad]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):

        def outputs(x, example):
            named = dict(zip(names, risk.layout.views(x), strict=True))
            return torch.func.functional_call(case.module, named, (example[None],))

        G = WEIGHT_DECAY * torch.eye(risk.dim, dtype=torch.float64)
        for example, target in zip(case.inputs, case.targets, strict=True):
            out = outputs(risk.x0, example)
            J = torch.func.jacrev(outputs)(risk.x0, example).reshape(out.numel(), risk.dim)
            flat = out.detach().flatten()
            H = torch.autograd.functional.hessian(
                lambda o, t=target, s=out.shape: case.loss(o.reshape(s), t[None]), flat
            )
            G = G + J.T @ H @ J / len(case.inputs)
    return G.detach()


@pytest.mark.parametrize("chunk_size", [11, 4])
def test_products_equal_the_dense_matrix(case, chunk_size):
    risk = case.risk(weight_decay=WEIGHT_DECAY, chunk_size=chunk_size)
    G = dense(case, risk)
    V = torch.randn(risk.dim, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = risk.counts
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        assert curvature.shape == (risk.dim, risk.dim)
        assert torch.allclose(curvature @ V[:, 0], G @ V[:, 0], rtol=1e-10, atol=1e-12)
        assert torch.allclose(curvature @ V, G @ V, rtol=1e-10, atol=1e-12)
    assert (risk.counts - before).products == 4
    assert (risk.counts - before).gradients == 0


def test_the_whole_matrix_is_dense_symmetric_to_the_last_bit_and_counted_by_columns(case):
    risk = case.risk(weight_decay=WEIGHT_DECAY)
    G = risk.hessian(risk.x0, kind="gauss_newton")
    assert torch.equal(G, G.T)
    assert torch.allclose(G, dense(case, risk), rtol=1e-10, atol=1e-12)
    assert (risk.counts.hessian_columns, risk.counts.products) == (risk.dim, 0)
    with pytest.raises(OptionError, match="hessian, gauss_newton"):
        risk.hessian(risk.x0, kind="fisher")


def test_it_is_symmetric_and_positive_semidefinite_where_the_hessian_is_not(case):
    risk = case.risk()
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        G = curvature @ torch.eye(risk.dim, dtype=torch.float64)
    assert torch.allclose(G, G.T, rtol=1e-11, atol=1e-13)
    values = torch.linalg.eigvalsh(0.5 * (G + G.T))
    assert values[0] >= -1e-12 * values[-1]


def test_some_of_the_modules_have_an_indefinite_hessian():
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    risk = EmpiricalRisk(module, functional.mse_loss, torch.randn(9, 3).double(), torch.randn(9, 2).double())
    assert torch.linalg.eigvalsh(risk.hessian(risk.x0))[0] < -1e-3


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_for_a_linear_model_it_is_the_hessian(loss):
    torch.manual_seed(0)
    inputs = torch.randn(20, 5, dtype=torch.float64)
    if loss == "mse":
        function, targets = functional.mse_loss, torch.randn(20, 3, dtype=torch.float64)
    else:
        function, targets = functional.cross_entropy, torch.randint(3, (20,))
    risk = EmpiricalRisk(nn.Linear(5, 3).double(), function, inputs, targets, weight_decay={"weight": 0.1})
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        G = curvature @ torch.eye(risk.dim, dtype=torch.float64)
    assert torch.allclose(G, risk.hessian(risk.x0), rtol=1e-11, atol=1e-13)


def test_a_loss_that_is_linear_in_the_outputs_has_none():
    risk = EmpiricalRisk(nn.Linear(2, 1), lambda o, t: (o * t).mean(), torch.ones(3, 2), torch.ones(3, 1))
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        assert not (curvature @ torch.ones(3)).any()


def test_graphs_that_do_not_fit_are_rebuilt_and_closing_ends_the_products(case):
    risk, rebuilt = case.risk(chunk_size=4), case.risk(chunk_size=4, graph_memory=0)
    v = torch.ones(risk.dim, dtype=torch.float64)
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        expected = curvature @ v
    with pytest.raises(ObjectiveError, match="closed"):
        curvature @ v
    with rebuilt.curvature(rebuilt.x0, kind="gauss_newton") as curvature:
        assert torch.equal(curvature @ v, expected)
        assert torch.equal(curvature @ v, expected)


def test_it_keeps_the_point_it_was_made_at(case):
    risk = case.risk()
    v = torch.ones(risk.dim, dtype=torch.float64)
    with risk.curvature(risk.x0, kind="gauss_newton") as curvature:
        expected = curvature @ v
        risk.evaluate(risk.x0 + 1.0)
        assert torch.equal(curvature @ v, expected)


def test_a_function_of_a_vector_has_no_outputs_to_linearise():
    f = as_objective(lambda x: (x * x).sum(), torch.ones(2))
    with pytest.raises(OptionError, match="kind='gauss_newton': this objective has hessian"):
        f.curvature(torch.ones(2), kind="gauss_newton")


def test_a_gradient_that_depends_on_nothing_has_no_curvature():
    leaf = torch.ones(2, requires_grad=True)
    assert not GradientGraph(leaf.sum(), [leaf]).product([torch.ones(2)]).any()
