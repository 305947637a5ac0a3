"""A risk computed in another dtype: the same function to its rounding, on the same counter."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk, as_objective

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(30, 4, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.randint(3, (30,), generator=GENERATOR)


def risk(loss=functional.cross_entropy, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
    return EmpiricalRisk(module, loss, INPUTS, CLASSES, weight_decay={"0.*": 0.1}, chunk_size=7, **options)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_products_agree_to_single_precision_and_are_counted_as_products(kind):
    f = risk()
    v = torch.randn(f.dim, generator=GENERATOR, dtype=torch.float64)
    before = f.counts
    with f.curvature(f.x0, kind=kind) as exact, f.curvature(f.x0, kind=kind, dtype=torch.float32) as single:
        assert (exact.precision, single.precision) == (torch.finfo(torch.float64).eps, torch.finfo(torch.float32).eps)
        expected, found = exact @ v, single @ v
        both = single @ torch.stack([v, -v], dim=1)
    assert found.dtype == torch.float64
    assert 0 < (found - expected).norm() <= 1e-5 * expected.norm()
    assert torch.allclose(both, torch.stack([found, -found], dim=1), rtol=1e-4, atol=1e-6)
    assert (f.counts - before).products == 4
    assert (f.counts - before).gradients == 0


def test_the_twin_is_kept_and_follows_subsets():
    f = risk()
    twin = f.in_dtype(torch.float32)
    assert twin is f.in_dtype(torch.float32)
    assert f.in_dtype(torch.float64) is f
    part = torch.arange(3, 20)
    value = f.subset(part).evaluate(f.x0).value
    single = f.subset(part).in_dtype(torch.float32).evaluate(f.x0.float()).value
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(value), rel=1e-5)
    other = f.on(INPUTS[:5], CLASSES[:5])
    alone = other.in_dtype(torch.float32).evaluate(f.x0.float()).value
    assert float(alone) == pytest.approx(float(other.evaluate(f.x0).value), rel=1e-5)


def test_evaluating_the_twin_leaves_the_risk_alone():
    f = risk()
    before = f.evaluate(f.x0)
    f.in_dtype(torch.float32).evaluate(torch.zeros(f.dim))
    after = f.evaluate(f.x0)
    assert torch.equal(before.value, after.value)
    assert torch.equal(before.gradient, after.gradient)


def test_what_does_not_run_in_another_dtype_is_refused():
    weights = torch.ones(3, dtype=torch.float64)
    f = risk(lambda outputs, targets: functional.cross_entropy(outputs, targets, weight=weights))
    with pytest.raises(OptionError, match=r"does not run in torch\.float32"):
        f.curvature(f.x0, dtype=torch.float32)
    g = as_objective(lambda x: (x * x).sum(), torch.ones(2, dtype=torch.float64))
    with pytest.raises(OptionError, match=r"float64 alone"):
        g.curvature(torch.ones(2, dtype=torch.float64), dtype=torch.float32)
