"""Gauss rules against the exact measure (eigenvalues, squared components of the start) of dense matrices."""

import itertools

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from hessrun.errors import NotFiniteError, OptionError
from hessrun.linalg.quadrature import Quadrature, quadrature

SPECTRA = {
    "distinct": torch.linspace(-1, 2, 120),
    "outliers": torch.cat([torch.tensor([50.0, 20.0, -5.0]), torch.linspace(-0.1, 1, 117)]),
    "graded": 10.0 ** torch.linspace(-8, 0, 120),
    "mirrored": torch.cat([torch.linspace(0.1, 3, 60), -torch.linspace(0.1, 3, 60)]),
}
CLOSING = {
    "identity": (torch.ones(120), 1),
    "zero": (torch.zeros(120), 1),
    "two values": (torch.cat([torch.ones(70), -torch.ones(50)]), 2),
    "rank deficient": (torch.cat([torch.tensor([3.0, 2.0, -1.0]), torch.zeros(117)]), 4),
    "repeated": (torch.tensor([5.0, 4.0, 1.0, -2.0]).repeat(30), 4),
}


def _problem(eigenvalues: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """H of these eigenvalues, a random start, and the measure seen from it: points and weights."""
    n, generator = len(eigenvalues), torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    v = torch.randn(n, generator=generator, dtype=torch.float64)
    H = U * eigenvalues.double() @ U.T
    return (H + H.T) / 2, v, eigenvalues.double(), (U.T @ (v / v.norm())) ** 2


def _distance(found: Quadrature, points: Tensor, weights: Tensor) -> float:
    return float(wasserstein_distance(found.nodes.numpy(), points.numpy(), found.weights.numpy(), weights.numpy()))


@pytest.mark.parametrize("m", [1, 2, 7, 25])
@pytest.mark.parametrize("name", SPECTRA)
def test_moments_are_those_of_the_matrix_up_to_degree_2m_minus_1(name: str, m: int) -> None:
    H, v, points, _ = _problem(SPECTRA[name])
    found = quadrature(lambda u: H @ u, v, m)
    assert len(found.nodes) == len(found.weights) == m
    assert not found.is_exact
    assert float(found.weights.sum()) == pytest.approx(1, abs=1e-14)
    assert bool((found.weights >= 0).all())
    scale, power = float(points.abs().max()), v / v.norm()
    for k in range(2 * m):
        by_rule = float((found.weights * (found.nodes / scale) ** k).sum())
        assert by_rule == pytest.approx(float(v @ power / v.norm()), abs=1e-13)
        power = H @ power / scale


def test_the_degree_after_that_is_not_exact() -> None:
    H, v, _, _ = _problem(SPECTRA["distinct"])
    found = quadrature(lambda u: H @ u, v, 2)
    u = v / v.norm()
    true = float(u @ torch.linalg.matrix_power(H, 4) @ u)
    assert abs(float((found.weights * found.nodes**4).sum()) - true) > 0.01


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("steps", [120, 500])
def test_as_many_steps_as_dimensions_give_the_measure_itself(name: str, steps: int) -> None:
    H, v, points, weights = _problem(SPECTRA[name])
    found = quadrature(lambda u: H @ u, v, steps)
    assert found.is_exact
    assert len(found.nodes) <= 120
    # Not one ghost: a second copy of an outlier would move its weight.
    assert _distance(found, points, weights) < 1e-12 * float(points.abs().max())
    assert found.noise < 1e-13 * float(points.abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLOSING)
def test_a_space_that_closes_ends_the_rule_with_exact_weights(name: str, dtype: torch.dtype) -> None:
    eigenvalues, distinct = CLOSING[name]
    H, v, points, weights = _problem(eigenvalues)
    H, v = H.to(dtype), v.to(dtype)
    found = quadrature(lambda u: H @ u, v, 60)
    assert found.is_exact
    assert len(found.nodes) == distinct
    assert _distance(found, points, weights) < 30 * torch.finfo(dtype).eps * max(1, float(points.abs().max()))


def test_the_distance_to_the_measure_falls_with_the_steps() -> None:
    H, v, points, weights = _problem(SPECTRA["distinct"])
    distances = [_distance(quadrature(lambda u: H @ u, v, m), points, weights) for m in (5, 10, 20, 40, 80)]
    assert all(later < 0.7 * earlier for earlier, later in itertools.pairwise(distances))
    assert distances[-1] < 0.01


def test_single_precision_agrees_with_double_to_its_rounding() -> None:
    H, v, points, weights = _problem(SPECTRA["outliers"])
    found = quadrature(lambda u: H.float() @ u, v.float(), 120)
    assert found.nodes.dtype == torch.float64
    assert _distance(found, points, weights) < 1e-6 * 50
    assert 0 < found.noise < 1e-5 * 50


def test_the_asymmetry_of_the_products_is_measured() -> None:
    H, v, _, _ = _problem(SPECTRA["distinct"])
    skew = torch.randn(120, 120, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    skew = 1e-3 * (skew - skew.T) / torch.linalg.matrix_norm(skew - skew.T, 2)
    noise = quadrature(lambda u: H @ u + skew @ u, v, 60).noise
    assert 3e-4 < noise <= 1.0001e-3


def test_scaling_the_matrix_scales_the_nodes_and_the_length_of_the_start_is_nothing() -> None:
    H, v, _, _ = _problem(SPECTRA["outliers"])
    plain = quadrature(lambda u: H @ u, v, 30)
    for c in (2.0**26, 2.0**-26):
        scaled = quadrature(lambda u, c=c: c * (H @ u), v, 30)  # type: ignore[misc]
        torch.testing.assert_close(scaled.nodes, c * plain.nodes, rtol=1e-13, atol=0)
        torch.testing.assert_close(scaled.weights, plain.weights, rtol=1e-10, atol=1e-15)
    assert torch.equal(quadrature(lambda u: H @ u, 4 * v, 30).nodes, plain.nodes)


def test_misuse_is_one_line() -> None:
    v = torch.ones(3, dtype=torch.float64)
    with pytest.raises(OptionError, match="steps=0"):
        quadrature(lambda u: u, v, 0)
    for start in (torch.zeros(3), torch.ones(3, 1), torch.full((3,), torch.nan)):
        with pytest.raises(OptionError, match="start must be a finite vector"):
            quadrature(lambda u: u, start, 2)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(NotFiniteError, match="not finite"):
            quadrature(lambda u, bad=bad: bad * u, v, 2)  # type: ignore[misc]
