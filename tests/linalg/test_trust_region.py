"""The subproblem against a dense solution by eigenvalues: easy, hard, interior, with and without a gradient."""

import pytest
import torch
from scipy.optimize import brentq

from hessrun.linalg.trust_region import TrustRegionModel


def matrix(values, seed=0):
    n = len(values)
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    return (Q * torch.tensor(values, dtype=torch.float64)) @ Q.T, Q


def dense_minimum(values, coefficients, radius):
    """min of c'z + 1/2 z'Lz over |z| <= radius in the eigenbasis (Nocedal & Wright, section 4.3)."""
    values, c = torch.tensor(values, dtype=torch.float64), coefficients
    least = float(values.min())

    def step(shift):
        return torch.where(c == 0, torch.zeros_like(c), -c / (values + shift))

    def model(z):
        return float(c @ z + 0.5 * (values * z * z).sum())

    if least > 0 and step(0.0).norm() <= radius:
        return model(step(0.0))
    floor = max(0.0, -least)
    bare = torch.where((values - least).abs() < 1e-9, torch.zeros_like(c), -c / (values - least + (values == least)))
    if c[(values - least).abs() < 1e-9].abs().max() == 0 and bare.norm() < radius and least <= 0:
        z = bare.clone()
        z[int(values.argmin())] = (radius**2 - float(bare @ bare)) ** 0.5
        return model(z)
    shift = brentq(lambda s: 1 / radius - 1 / float(step(s).norm()), floor + 1e-14, floor + 1e6, xtol=1e-15)
    return model(step(shift))


SPECTRA = {
    "definite": [1.0, 2.0, 5.0, 9.0, 20.0],
    "indefinite": [-3.0, -1.0, 0.5, 2.0, 8.0],
    "negative": [-5.0, -4.0, -3.0, -2.0, -1.0],
    "repeated": [-2.0, -2.0, 1.0, 3.0, 4.0],
    "singular": [0.0, 1.0, 2.0, 3.0, 4.0],
    "ill-conditioned": [1e-8, 1e-4, 1.0, 1e2, 1e4],
}


@pytest.mark.parametrize("guess", [0.0, 0.7, 1e3])
@pytest.mark.parametrize("radius", [1e-3, 0.5, 3.0, 1e3])
@pytest.mark.parametrize("case", ["easy", "hard", "no gradient"])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_model_reaches_the_dense_minimum(spectrum, case, radius, guess):
    values = SPECTRA[spectrum]
    H, Q = matrix(values)
    c = torch.tensor([0.4, -1.0, 0.3, 2.0, -0.7], dtype=torch.float64)
    if case == "hard":
        c[torch.tensor(values) == min(values)] = 0.0
    elif case == "no gradient":
        c = torch.zeros_like(c)
    found = TrustRegionModel(H, Q @ c).solve(radius, guess=guess, tolerance=1e-6)
    best = dense_minimum(values, c, radius)
    assert found.length <= radius * (1 + 1e-6)
    assert found.predicted == pytest.approx(-best, rel=1e-5, abs=1e-13 * radius**2)
    assert found.d.norm().item() == pytest.approx(found.length)
    if min(values) < 0 and (case != "easy" or radius > 0.5):
        assert found.is_indefinite


@pytest.mark.parametrize("seed", range(30))
def test_the_default_tolerance_is_kept_on_random_matrices(seed):
    generator = torch.Generator().manual_seed(seed)
    values = (torch.randn(12, generator=generator, dtype=torch.float64) * 3).tolist()
    H, Q = matrix(values, seed)
    c = torch.randn(12, generator=generator, dtype=torch.float64)
    model = TrustRegionModel(H, Q @ c)
    for radius in (10.0, 1.0, 0.1):
        found = model.solve(radius)
        assert found.length <= 1.1 * radius
        assert found.predicted >= 0.8 * -dense_minimum(values, c, radius)


def test_few_factorisations_are_enough(monkeypatch):
    import hessrun.linalg.trust_region as module

    calls = []
    plain = module.cholesky
    monkeypatch.setattr(module, "cholesky", lambda *args: calls.append(1) or plain(*args))
    for seed in range(20):
        H, Q = matrix(torch.linspace(-2, 10, 20).tolist(), seed)
        TrustRegionModel(H, Q[:, 3] + Q[:, 7]).solve(0.5)
    assert len(calls) <= 20 * 6


@pytest.mark.parametrize("scale", [2.0**-26, 2.0**26])
def test_scaling_the_model_by_a_power_of_two_changes_no_bit_of_the_step(scale):
    H, Q = matrix(SPECTRA["indefinite"])
    g = Q @ torch.tensor([0.4, -1.0, 0.3, 2.0, -0.7], dtype=torch.float64)
    for radius in (0.1, 2.0):
        assert torch.equal(
            TrustRegionModel(H, g).solve(radius).d, TrustRegionModel(scale * H, scale * g).solve(radius).d
        )
