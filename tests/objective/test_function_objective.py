"""Any torch function of a vector: what it gives, and what is refused."""

import itertools

import pytest
import torch
from torch import Tensor

from hessrun.errors import ObjectiveError, OptionError
from hessrun.objective import as_objective

X0 = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)


def quartic(x: Tensor) -> Tensor:
    return (x**4).sum() / 4 + x[0] * x[1]


def test_against_closed_forms():
    f = as_objective(quartic, X0)
    here = f.evaluate(X0)
    cross = torch.tensor([X0[1], X0[0], 0.0], dtype=torch.float64)
    assert here.value.item() == pytest.approx(float((X0**4).sum() / 4 + X0[0] * X0[1]), rel=1e-15)
    assert torch.allclose(here.gradient, X0**3 + cross, rtol=1e-15)
    hessian = torch.diag(3 * X0**2)
    hessian[0, 1] = hessian[1, 0] = 1.0
    assert torch.allclose(f.hessian(X0), hessian, rtol=1e-15)
    assert here.is_finite()
    assert not f.evaluate(X0 * float("nan")).is_finite()
    assert not f.evaluate(X0 / 0.0, gradient=False).is_finite()


def test_a_linear_function_has_a_zero_hessian_and_a_gradient_of_its_own_memory():
    f = as_objective(lambda x: x.sum(), X0)
    here = f.evaluate(X0)
    assert here.gradient.is_contiguous()
    assert torch.equal(here.gradient, torch.ones_like(X0))
    assert torch.equal(f.hessian(X0), torch.zeros(3, 3, dtype=torch.float64))


def test_evaluating_under_no_grad_and_with_a_leaf():
    f = as_objective(quartic, X0)
    expected = f.evaluate(X0).gradient
    with torch.no_grad():
        assert torch.equal(f.evaluate(X0).gradient, expected)
        assert torch.equal(f.hessian(X0), f.hessian(X0))
    leaf = X0.clone().requires_grad_()
    assert torch.equal(f.evaluate(leaf).gradient, expected)
    assert leaf.grad is None


def test_the_gradient_is_missing_where_it_was_not_asked_for():
    with pytest.raises(ObjectiveError, match="gradient=False"):
        _ = as_objective(quartic, X0).evaluate(X0, gradient=False).gradient


def test_a_curvature_stays_at_the_x_it_was_made_at():
    f = as_objective(quartic, X0)
    x = X0.clone()
    with f.curvature(x) as curvature:
        before = curvature @ X0
        x.zero_()
        assert torch.equal(curvature @ X0, before)


def test_a_closed_curvature_gives_no_products():
    f = as_objective(quartic, X0)
    with f.curvature(X0) as curvature:
        pass
    with pytest.raises(ObjectiveError, match="closed"):
        _ = curvature @ X0


numbers = itertools.count()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: 3.0, "must return a torch scalar; it returned float"),
        (lambda x: x * x, r"must return a scalar; it returned the shape \[3\]"),
        (lambda x: x.sum(dim=0, keepdim=True), r"must return a scalar; it returned the shape \[1\]"),
        (lambda x: (x * x).sum().detach(), "has no graph"),
        (lambda x: torch.tensor(x.sum().item()), "has no graph"),
        (lambda x: torch.ones(1, requires_grad=True).sum(), "does not depend on x"),
        (lambda x: (x * x).sum() + next(numbers), "two values at the same x"),
    ],
)
def test_functions_that_cannot_be_minimised(function, message):
    with pytest.raises(ObjectiveError, match=message):
        as_objective(function, X0)


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        ([1.0, 2.0], "must be a torch.Tensor .* got list"),
        (torch.empty(0), r"non-empty vector \[n\]; got the shape \[0\]"),
        (torch.tensor(1.0), r"non-empty vector \[n\]; got the shape \[\]"),
        (torch.ones(2, 2), r"got the shape \[2, 2\]"),
        (torch.ones(2, dtype=torch.int64), "must hold floating-point numbers .* got torch.int64"),
    ],
)
def test_starts_that_are_no_vectors(x0, message):
    with pytest.raises(OptionError, match=message):
        as_objective(lambda x: (x * x).sum(), x0)


def test_a_start_where_the_function_is_nan_is_an_outcome_not_misuse():
    assert not as_objective(lambda x: x.log().sum(), X0).evaluate(X0).is_finite()


@pytest.mark.parametrize("x", [X0[:2], X0.float(), X0[None]])
def test_an_x_that_does_not_fit(x):
    f = as_objective(quartic, X0)
    for ask in (f.evaluate, f.curvature, f.hessian):
        with pytest.raises(OptionError, match=r"x must be a vector \[3\] of torch.float64 on cpu; got"):
            ask(x)


def test_a_product_that_does_not_fit_and_a_kind_that_does_not_exist():
    f = as_objective(quartic, X0)
    with f.curvature(X0) as curvature, pytest.raises(OptionError, match=r"takes v \[3\] or V \[3, k\]; got \[2\]"):
        _ = curvature @ X0[:2]
    with pytest.raises(OptionError, match="kind='fisher': this objective has hessian"):
        f.curvature(X0, kind="fisher")


@pytest.mark.parametrize(
    ("elsewhere", "message"),
    [
        (lambda x: x * x, r"the shape \[3\]"),
        (lambda x: x[:1], r"the shape \[1\]"),
        (lambda x: None, "NoneType"),
        (lambda x: (x * 1j).sum(), "complex128"),
        (lambda x: torch.ones((), dtype=x.dtype, requires_grad=True) * 2, "no graph from x"),
    ],
)
def test_a_function_that_changes_its_kind_away_from_the_start_is_one_line(elsewhere, message):
    f = as_objective(lambda x: (x * x).sum() if torch.equal(x, X0) else elsewhere(x), X0)
    with pytest.raises(ObjectiveError, match=message):
        f.evaluate(2 * X0)


def test_a_complex_value_is_refused_at_the_start():
    with pytest.raises(ObjectiveError, match="a real number"):
        as_objective(lambda x: (x * 1j).sum(), X0)


def test_inference_mode_is_refused_where_it_would_give_zeros():
    f = as_objective(quartic, X0)
    with torch.inference_mode():
        assert f.evaluate(X0, gradient=False).value == quartic(X0)
        for call in (f.evaluate, f.hessian, f.curvature):
            with pytest.raises(ObjectiveError, match="inference_mode"):
                call(X0)


@pytest.mark.parametrize("x", [[0.5, -2.0, 3.0], None, 1.0])
def test_a_point_that_is_no_tensor_is_one_line(x):
    f = as_objective(quartic, X0)
    for call in (f.evaluate, f.hessian, f.curvature):
        with pytest.raises(OptionError, match=r"must be a torch\.Tensor"):
            call(x)


@pytest.mark.parametrize("vectors", [X0.float(), torch.empty(3, 0, dtype=torch.float64), torch.ones(3).long()])
def test_products_with_other_vectors_are_one_line(vectors):
    with (
        as_objective(quartic, X0).curvature(X0) as curvature,
        pytest.raises(OptionError, match=r"vectors of torch\.float64"),
    ):
        _ = curvature @ vectors
