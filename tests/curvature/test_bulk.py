"""Outliers above the bulk where random-matrix theory foretells them, and effective ranks in closed form."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from hessrun.curvature import bulk, effective_rank, from_eigenvalues, spectrum
from hessrun.problems import supervised
from hessrun.problems.datasets.embedded import Digits
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import linear, mlp


def _wishart(n: int, spikes: list[float], seed: int) -> Tensor:
    Z = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    diagonal = torch.zeros(n, dtype=torch.float64)
    diagonal[: len(spikes)] = torch.tensor(spikes, dtype=torch.float64)
    return torch.linalg.eigvalsh(Z @ Z.T / n + torch.diag(diagonal))


@pytest.mark.parametrize("seed", range(5))
def test_a_spiked_wishart_matrix_has_its_spikes_above_an_edge_of_four(seed: int) -> None:
    """diag(5, 4, 3, 0, ..) + ZZ'/n: outliers at t^2 / (t - 1), bulk on [0, 4]; without spikes there is none."""
    values = _wishart(600, [5.0, 4.0, 3.0], seed)
    found = from_eigenvalues(values)
    assert found.outliers == 3
    assert found.bulk_edge == pytest.approx(4, abs=0.2)
    assert found.bulk_edge == float(values[-4])
    torch.testing.assert_close(values[-3:], torch.tensor([4.5, 16 / 3, 6.25]).double(), rtol=0.1, atol=0)
    assert bulk(_wishart(600, [], seed)).outliers == 0


def test_a_smooth_spectrum_has_none_and_the_unit_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(400, 400, generator=generator, dtype=torch.float64)
    semicircle = torch.linalg.eigvalsh(A + A.T)
    assert bulk(semicircle).outliers == 0
    assert bulk(torch.linspace(-1, 1, 400)).outliers == 0
    values = _wishart(300, [6.0, 5.0], 0)
    for factor in (2.0**-40, 2.0**40):
        assert bulk(factor * values[torch.randperm(300, generator=generator)]).outliers == bulk(values).outliers == 2
        assert bulk(factor * values).edge == factor * bulk(values).edge


def test_copies_and_few_eigenvalues() -> None:
    spikes = torch.tensor([9.0, 5.0])
    assert bulk(torch.cat([spikes, torch.ones(98)])).outliers == 2
    # Of a quarter of 30 eigenvalues there are too few; below the noise floor there is no bulk.
    for values in (torch.linspace(1, 2, 30), torch.cat([spikes, torch.full((98,), 1e-9)])):
        found = bulk(values, 1e-6)
        assert found.outliers == -1
        assert math.isnan(found.edge)
    assert bulk(-torch.linspace(1, 2, 300)).outliers == -1


def test_the_effective_rank_in_closed_form() -> None:
    for rank in (1, 7):
        values = torch.cat([torch.full((rank,), -3.0), torch.zeros(40)])
        assert effective_rank(values) == pytest.approx(rank)
    # p = 1/2, 1/4, 1/4: exp(1.5 log 2).
    assert effective_rank(torch.tensor([2.0, -1.0, 1.0])) == pytest.approx(2**1.5)
    assert effective_rank(torch.tensor([2.0, -1.0, 1.0, 1e-3, -1e-3]), 0.01) == pytest.approx(2**1.5)
    assert from_eigenvalues(torch.tensor([2.0, -1.0, 1.0])).effective_rank == pytest.approx(2**1.5)
    assert math.isnan(effective_rank(torch.zeros(3)))
    assert effective_rank(2.0**1000 * torch.ones(4, dtype=torch.float64)) == pytest.approx(4)


@pytest.mark.slow
@pytest.mark.parametrize("model", [linear, partial(mlp, hidden=(32,))], ids=["softmax", "mlp"])
def test_a_trained_classifier_of_ten_classes_has_between_five_and_twenty_outliers(model) -> None:  # type: ignore[no-untyped-def]
    risk = supervised(Digits(), model, CrossEntropy()).train
    x, velocity = risk.x0.clone(), torch.zeros_like(risk.x0)
    for step in range(301):
        here = risk.evaluate(x)
        if step in (100, 300):
            assert 5 <= spectrum(risk, x).outliers <= 20
        velocity = 0.9 * velocity + here.gradient
        x = x - 0.05 * velocity
    assert here.value < 0.2
