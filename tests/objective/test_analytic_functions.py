"""Analytic functions: start, minimum and spectrum as promised."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.objective.analytic import quadratic, rosenbrock


@pytest.mark.parametrize("n", [2, 4, 10])
def test_rosenbrock(n):
    made = rosenbrock(n)
    f = made.objective
    assert f.evaluate(made.x0).value.item() == pytest.approx(24.2 * n / 2, rel=1e-14)
    least = f.evaluate(made.minimiser)
    assert least.value.item() == made.minimum == 0
    assert torch.equal(least.gradient, torch.zeros(n, dtype=torch.float64))
    # The Hessian at (1, 1) is [[802, -400], [-400, 200]] in each pair.
    block = torch.tensor([[802.0, -400.0], [-400.0, 200.0]], dtype=torch.float64)
    assert torch.allclose(f.hessian(made.minimiser), torch.block_diag(*[block] * (n // 2)))


@pytest.mark.parametrize("spacing", ["logarithmic", "linear"])
@pytest.mark.parametrize(("n", "condition_number"), [(1, 1.0), (2, 10), (30, 1e6)])
def test_quadratic(n, condition_number, spacing):
    made = quadratic(n, condition_number=condition_number, spacing=spacing, seed=3)
    f = made.objective
    eigenvalues = torch.linalg.eigvalsh(f.hessian(made.x0))
    assert eigenvalues[0].item() == pytest.approx(1 / condition_number, rel=1e-8)
    assert n == 1 or eigenvalues[-1].item() == pytest.approx(1.0, rel=1e-12)
    ratios = eigenvalues.log().diff() if spacing == "logarithmic" else eigenvalues.diff()
    assert torch.allclose(ratios, ratios.mean(), rtol=1e-6) or n < 3
    assert f.evaluate(made.minimiser).value.item() == made.minimum == 0


def test_quadratics_are_a_function_of_their_seed_and_touch_no_global_generator():
    state = torch.get_rng_state()
    first, same, other = (quadratic(5, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.minimiser, same.minimiser)
    assert not torch.equal(first.minimiser, other.minimiser)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rosenbrock(3), "n=3: the extended Rosenbrock function takes an even number"),
        (lambda: rosenbrock(0), "n=0: must be a whole number, 2 or above"),
        (lambda: quadratic(0), "n=0: must be a whole number, 1 or above"),
        (lambda: quadratic(3, condition_number=0.5), "condition_number=0.5: must be a finite number, 1 or above"),
        (lambda: quadratic(3, condition_number=float("inf")), "condition_number=inf"),
        (lambda: quadratic(3, condition_number=""), "condition_number=''"),
        (lambda: quadratic(3, spacing="log"), "spacing='log': must be one of logarithmic, linear"),
        (lambda: quadratic(3, seed=-1), "seed=-1"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(OptionError, match=message):
        make()
