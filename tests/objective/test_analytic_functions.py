"""Analytic functions: start, minimum and spectrum as promised."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.objective.analytic import chain, quadratic, rosenbrock, spiked_wishart


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


@pytest.mark.parametrize("shift", [0.0, 1.0, 30.0, 1e4])
def test_a_chain_is_a_sum_of_log_cosh_and_its_hessian_tridiagonal(shift):
    made = chain(6, anchor=0.01, seed=2)
    f = made.objective
    z = shift * torch.tensor([0.5, -1.0, 0.25, 1.0, -0.5, 0.125], dtype=torch.float64)
    found = f.evaluate(made.minimiser + z)
    gap = z.diff()
    expected = torch.logaddexp(gap, -gap) - torch.tensor(2.0, dtype=torch.float64).log()
    assert found.value.item() == pytest.approx((expected.sum() + 0.005 * z @ z).item(), rel=1e-9, abs=1e-15)
    slope = gap.tanh()
    pulled = torch.cat([-slope[:1], slope[:-1] - slope[1:], slope[-1:]]) + 0.01 * z
    assert torch.allclose(found.gradient, pulled, rtol=1e-9, atol=1e-12)
    stiffness = 1 - slope**2
    corners = torch.diag_embed(-stiffness, 1) + torch.diag_embed(-stiffness, -1)
    middle = torch.cat([stiffness, stiffness.new_zeros(1)]) + torch.cat([stiffness.new_zeros(1), stiffness]) + 0.01
    assert torch.allclose(f.hessian(made.minimiser + z), corners + middle.diag(), rtol=1e-9, atol=1e-9)
    assert f.evaluate(made.minimiser).value.item() == made.minimum == 0


@pytest.mark.parametrize("spikes", [[], [5.0], (5, 4, 3.5)])
def test_a_spiked_wishart_matrix_is_a_wishart_matrix_and_its_spikes(spikes):
    made, bare = spiked_wishart(40, spikes=spikes, seed=3), spiked_wishart(40, spikes=[], seed=3)
    A, W = made.objective.hessian(made.x0), bare.objective.hessian(bare.x0)
    added = torch.zeros(40, dtype=torch.float64)
    added[: len(spikes)] = torch.tensor(spikes, dtype=torch.float64)
    assert torch.allclose(A - W, added.diag(), atol=1e-13)
    assert torch.linalg.eigvalsh(W)[0] > 0
    assert W.trace().item() / 40 == pytest.approx(1.0, abs=5 * 2**0.5 / 40)
    assert made.objective.evaluate(made.minimiser).value.item() == made.minimum == 0
    assert torch.equal(made.x0, torch.zeros(40, dtype=torch.float64))


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
        (lambda: chain(1), "n=1: must be a whole number, 2 or above"),
        (lambda: chain(3, anchor=0.0), "anchor=0.0: must be"),
        (lambda: spiked_wishart(0), "n=0: must be a whole number, 1 or above"),
        (lambda: spiked_wishart(2), "must be a list of at most n=2 numbers, 0 or above"),
        (lambda: spiked_wishart(9, spikes=5.0), "spikes=5.0: must be a list"),
        (lambda: spiked_wishart(9, spikes="543"), "spikes='543': must be a list"),
        (lambda: spiked_wishart(9, spikes=[5.0, -1.0]), "-1.0 is no finite number, 0 or above"),
        (lambda: spiked_wishart(9, spikes=[float("nan")]), "nan is no finite number, 0 or above"),
        (lambda: spiked_wishart(9, seed=-1), "seed=-1"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(OptionError, match=message):
        make()
