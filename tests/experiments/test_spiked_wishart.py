"""Benaych-Georges and Nadakuditi (2011): a spike t > 2 of a Wishart matrix makes an eigenvalue near t^2 / (t - 1)."""

import numpy as np
import pytest

SPIKES = np.array([5.0, 4.0, 3.0])
PREDICTED = SPIKES**2 / (SPIKES - 1)


def marchenko_pastur(x: np.ndarray) -> np.ndarray:
    """The share of the eigenvalues of Z Z' / n at most x, for a square Z: the density is sqrt(4/x - 1) / (2 pi)."""
    angle = np.arcsin(np.sqrt(np.clip(x, 0, 4) / 4))
    return (2 * angle + np.sin(2 * angle)) / np.pi


def test_outliers_of_a_small_one(run):
    first = run("spiked_wishart", "problem.n=300", "budget.iterations=1").spectra[0]
    assert first.outliers == 3
    assert first.eigenvalues[:-4:-1] == pytest.approx(PREDICTED, rel=0.05)
    hidden = run("spiked_wishart", "problem.n=300", "problem.spikes=[1.5, 1.0]", "budget.iterations=1").spectra[0]
    assert hidden.outliers == 0
    assert hidden.eigenvalues[-1] < 4.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_outliers_and_bulk(run, drawn, seed):
    found = run("spiked_wishart", f"problem.seed={seed}")
    first, last = found.spectra[0], found.spectra[-1]
    assert first.outliers == 3
    assert first.eigenvalues[:-4:-1] == pytest.approx(PREDICTED, rel=0.03)
    assert first.bulk_edge == pytest.approx(4.0, rel=0.03)
    bulk = first.eigenvalues[:-3]
    # Kolmogorov's distance to the law of Marchenko and Pastur is of order 1 / n.
    assert np.abs(marchenko_pastur(bulk) - (np.arange(bulk.size) + 0.5) / bulk.size).max() < 5 / bulk.size
    assert last.eigenvalues == pytest.approx(first.eigenvalues, abs=first.noise_floor * 10)
    assert "spectrum" in drawn(found)
