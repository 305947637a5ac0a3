"""Conjugate gradients against dense solutions, with every product counted."""

import math

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.linalg.conjugate_gradients import ConjugateGradientPath, steihaug


def system(n=12, *, smallest=0.1, seed=0, dtype=torch.float64):
    """A symmetric matrix with eigenvalues from `smallest` to 1, and a gradient."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    B = (Q * torch.linspace(smallest, 1, n, dtype=torch.float64)) @ Q.T
    return (0.5 * (B + B.T)).to(dtype), torch.randn(n, generator=generator, dtype=torch.float64).to(dtype)


class Counted:
    """v -> B v, with a count."""

    def __init__(self, B):
        self.B, self.calls = B, 0

    def __call__(self, v):
        self.calls += 1
        return self.B @ v


def model(B, g, d):
    return float(g @ d + 0.5 * d @ B @ d)


def best(B, g, radius):
    """The least value of the model within the radius: bisection on lambda in (B + lambda I) d = -g, B definite."""

    def d(shift):
        return torch.linalg.solve(B + shift * torch.eye(len(g), dtype=B.dtype), -g)

    if d(0.0).norm() <= radius:
        return model(B, g, d(0.0))
    low, high = 0.0, float(g.norm()) / radius
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if d(middle).norm() > radius else (low, middle)
    return model(B, g, d(high))


def test_without_a_boundary_it_is_the_newton_step():
    B, g = system()
    multiply = Counted(B)
    step = steihaug(multiply, g, 1e6, 1e-12, 50)
    assert torch.allclose(step.d, torch.linalg.solve(B, -g), rtol=1e-9, atol=1e-10)
    assert (step.on_boundary, step.negative_curvature) == (False, False)
    assert step.iterations == multiply.calls <= 14


@pytest.mark.parametrize("radius", [1e-3, 0.5, 2.0, 5.0, 1e3])
def test_a_step_gains_at_least_half_of_the_best_within_the_radius(radius):
    """Yuan (2000), for definite matrices."""
    for seed in range(5):
        B, g = system(seed=seed)
        step = steihaug(lambda v, B=B: B @ v, g, radius, 1e-10, 50)
        assert step.d.norm() <= radius * (1 + 1e-12)
        assert step.length == pytest.approx(float(step.d.norm()), rel=1e-10)
        assert step.on_boundary == (torch.linalg.solve(B, -g).norm() > radius)
        assert step.decrease >= -0.5 * best(B, g, radius)
        assert step.decrease == pytest.approx(-model(B, g, step.d), rel=1e-9)


@pytest.mark.parametrize("smallest", [0.1, -0.7])
@pytest.mark.parametrize("radius", [1e-2, 1.0, 3.0, 1e3])
def test_the_decrease_costs_nothing(smallest, radius):
    B, g = system(smallest=smallest)
    multiply = Counted(B)
    step = steihaug(multiply, g, radius, 1e-8, 50)
    assert multiply.calls == step.iterations
    assert step.decrease == pytest.approx(-model(B, g, step.d), rel=1e-9)


def test_negative_curvature_is_followed_to_the_boundary():
    B, g = system(smallest=-0.7)
    step = steihaug(lambda v: B @ v, g, 100.0, 1e-10, 50)
    assert step.negative_curvature
    assert step.on_boundary
    assert step.d.norm() == pytest.approx(100.0)


def test_another_radius_walks_the_same_path_without_products():
    B, g = system(smallest=-0.3, n=20)
    multiply = Counted(B)
    path = ConjugateGradientPath(multiply, g, tolerance=1e-10, max_iterations=50)
    path.step(50.0)
    made = multiply.calls
    for radius in (20.0, 3.0, 0.7, 0.01, 50.0):
        again, fresh = path.step(radius), steihaug(lambda v: B @ v, g, radius, 1e-10, 50)
        assert torch.equal(again.d, fresh.d)
        assert (again.decrease, again.iterations) == (fresh.decrease, fresh.iterations)
    assert multiply.calls == made == path.products


def test_a_larger_radius_makes_only_the_products_that_are_missing():
    B, g = system(n=20)
    multiply = Counted(B)
    path = ConjugateGradientPath(multiply, g, tolerance=1e-10, max_iterations=50)
    for radius in (0.1, 1.0, 5.0, 1e6):
        step = path.step(radius)
        assert torch.equal(step.d, steihaug(lambda v: B @ v, g, radius, 1e-10, 50).d)
        assert multiply.calls == step.iterations


def test_the_direction_of_the_line_search_form_descends():
    B, g = system(smallest=-0.7)
    step = steihaug(lambda v: B @ v, g, math.inf, 1e-10, 50)
    assert step.negative_curvature
    assert not step.on_boundary
    assert g @ step.d < 0
    first = steihaug(lambda v: -v, g, math.inf, 1e-10, 50)
    assert first.iterations == 0
    assert torch.allclose(first.d, -g, rtol=1e-14)
    definite, _ = system()
    found = steihaug(lambda v: definite @ v, g, math.inf, 1e-12, 50)
    assert torch.allclose(found.d, torch.linalg.solve(definite, -g), rtol=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1e-3, 0.5, 30.0])
def test_a_shift_needs_no_product(shift):
    B, g = system()
    multiply = Counted(B)
    path = ConjugateGradientPath(multiply, g, tolerance=1e-13, max_iterations=12)
    path.step(math.inf)
    made = multiply.calls
    step = path.shifted(shift)
    dense = torch.linalg.solve(B + shift * torch.eye(12, dtype=B.dtype), -g)
    assert torch.allclose(step.d, dense, rtol=1e-7, atol=1e-8)
    assert step.decrease == pytest.approx(-model(B, g, step.d), rel=1e-9)
    assert step.length == pytest.approx(float(step.d.norm()), rel=1e-9)
    assert multiply.calls == made


def test_a_shift_within_a_short_path_minimises_over_its_space():
    B, g = system(n=20)
    path = ConjugateGradientPath(lambda v: B @ v, g, tolerance=0.3, max_iterations=4)
    free = path.step(math.inf)
    V, _ = torch.linalg.qr(torch.stack([torch.linalg.matrix_power(B, j) @ g for j in range(free.iterations)], 1))
    for shift in (0.0, 0.2, 5.0):
        inside = V @ torch.linalg.solve(V.T @ B @ V + shift * torch.eye(V.shape[1], dtype=B.dtype), -V.T @ g)
        step = path.shifted(shift)
        assert torch.allclose(step.d, inside, rtol=1e-9, atol=1e-10)
    assert torch.allclose(path.shifted(0.0).d, free.d, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [-26, 26, 60])
@pytest.mark.parametrize("smallest", [0.1, -0.7])
def test_the_scale_of_the_function_changes_no_bit(dtype, power, smallest):
    B, g = system(smallest=smallest, dtype=dtype)
    c = 2.0**power
    for radius in (0.1, 3.0, 1e4, math.inf):
        plain, scaled = (
            steihaug(lambda v: B @ v, g, radius, 1e-3, 50),
            steihaug(lambda v: c * (B @ v), c * g, radius, 1e-3, 50),
        )
        if plain.iterations > 0:  # -g itself has the scale of f
            assert torch.equal(plain.d, scaled.d)
            assert scaled.decrease == c * plain.decrease


def test_rounding_ends_the_path_where_the_tolerance_cannot():
    B, g = system(n=30, smallest=1e-10, dtype=torch.float32)
    step = steihaug(lambda v: B @ v, g, 1e9, 0.0, 10_000)
    assert step.iterations < 200
    assert step.d.isfinite().all()


def test_what_is_not_finite_leaves_what_was_reached():
    B, g = system()
    calls = []

    def broken(v):
        calls.append(v)
        return B @ v if len(calls) < 3 else torch.full_like(v, math.nan)

    step = steihaug(broken, g, 1e6, 1e-10, 50)
    assert torch.equal(step.d, steihaug(lambda v: B @ v, g, 1e6, 1e-10, 2).d)
    first = steihaug(lambda v: v * math.nan, g, 2.0, 1e-10, 50)
    assert torch.allclose(first.d, -2 * g / g.norm(), rtol=1e-14)
    assert first.decrease == pytest.approx(2 * float(g.norm()))
    assert not first.negative_curvature


def test_no_gradient_is_no_step():
    B, _ = system()
    step = steihaug(lambda v: B @ v, torch.zeros(12, dtype=torch.float64), 1.0, 0.1, 5)
    assert not step.d.any()
    assert (step.iterations, step.decrease, step.length) == (0, 0.0, 0.0)


@pytest.mark.parametrize("options", [{"tolerance": 1.0}, {"tolerance": -0.1}, {"max_iterations": 0}])
def test_options_out_of_range(options):
    with pytest.raises(OptionError):
        ConjugateGradientPath(lambda v: v, torch.ones(2), **{"tolerance": 0.1, "max_iterations": 5} | options)


def test_the_inverse_as_preconditioner_ends_in_one_product():
    B, g = system()
    path = ConjugateGradientPath(
        B.__matmul__, g, tolerance=1e-10, max_iterations=20, precondition=torch.linalg.inv(B).__matmul__
    )
    found = path.step(math.inf)
    assert path.products == 1
    assert (found.d + torch.linalg.solve(B, g)).norm() <= 1e-10 * found.d.norm()


@pytest.mark.parametrize("radius", [1e-3, 0.3, 1.0, math.inf])
def test_a_preconditioned_path_is_the_textbooks(radius):
    """Nocedal & Wright, algorithm 5.3, step by step; the decrease is that of the step."""
    B, g = system(smallest=0.01)
    P = torch.diag(1 / B.diagonal())
    path = ConjugateGradientPath(B.__matmul__, g, tolerance=1e-8, max_iterations=50, precondition=P.__matmul__)
    found = path.step(radius)
    x, r = torch.zeros_like(g), g.clone()
    y = P @ r
    p = -y
    while r.norm() > 1e-8 * g.norm():
        alpha = (r @ y) / (p @ B @ p)
        if (x + alpha * p).norm() >= radius:
            a, b, c = p @ p, 2 * (x @ p), x @ x - radius**2
            x = x + (-b + (b * b - 4 * a * c).sqrt()) / (2 * a) * p
            break
        x, before = x + alpha * p, r @ y
        r = r + alpha * (B @ p)
        y = P @ r
        p = -y + (r @ y) / before * p
    assert torch.allclose(found.d, x, rtol=1e-9, atol=1e-12)
    assert found.decrease == pytest.approx(-model(B, g, found.d), rel=1e-9)
    assert found.length == pytest.approx(float(found.d.norm()))
    products = path.products
    again = path.step(0.5 * radius if math.isfinite(radius) else 0.2)
    assert path.products == products
    assert again.length <= found.length * (1 + 1e-12)


def test_the_pairs_of_a_path_are_conjugate_curvature_pairs():
    B, g = system(8)
    P = torch.diag(1 / B.diagonal())
    path = ConjugateGradientPath(B.__matmul__, g, tolerance=1e-12, max_iterations=8, precondition=P.__matmul__)
    path.step(math.inf)
    pairs = list(path.pairs())
    assert len(pairs) == path.products
    S, Y = (torch.stack(vectors) for vectors in zip(*pairs, strict=True))
    assert torch.allclose(Y, S @ B, rtol=0, atol=1e-10)
    products = S @ Y.T
    assert (products - torch.diag(products.diagonal())).abs().max() <= 1e-9 * products.diagonal().max()
