"""Synthetic data: the covariance is the promised one, and so is the Hessian of linear regression."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.problems import supervised
from hessrun.problems.datasets import Synthetic
from hessrun.problems.losses import Auto
from hessrun.problems.models import linear


@pytest.mark.parametrize("kappa", [1.0, 100.0, 1e6])
def test_the_covariance_has_the_condition_number_and_the_mean_is_zero(kappa: float) -> None:
    inputs = torch.from_numpy(Synthetic(condition_number=kappa, n_features=7).read().examples.inputs)
    eigenvalues = torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    expected = torch.logspace(-torch.log10(torch.tensor(kappa)).item(), 0, 7, dtype=torch.float64)
    torch.testing.assert_close(eigenvalues, expected, rtol=1e-6, atol=1e-12)
    assert inputs.mean(dim=0).abs().max() < 1e-12


def test_the_hessian_of_linear_regression_has_twice_these_eigenvalues() -> None:
    data = Synthetic(task="regression", n_features=5, condition_number=1e3, validation_fraction=0.0, test_fraction=0.0)
    problem = supervised(data, linear, Auto())
    eigenvalues = torch.linalg.eigvalsh(problem.train.hessian(problem.x0))
    expected = torch.cat([torch.logspace(-3, 0, 5), torch.ones(1)]).double().sort().values * 2  # the bias: 2
    torch.testing.assert_close(eigenvalues, expected, rtol=1e-5, atol=1e-9)


def test_without_noise_a_linear_rule_gives_the_targets() -> None:
    source = Synthetic(task="regression", noise=0.0).read()
    inputs, targets = torch.from_numpy(source.examples.inputs), torch.from_numpy(source.examples.targets)
    weights = torch.linalg.lstsq(inputs, targets).solution
    torch.testing.assert_close(inputs @ weights, targets)
    assert targets.square().mean().item() == pytest.approx(1)


def test_classes_and_seeds() -> None:
    source = Synthetic(n_classes=4).read()
    assert set(source.examples.targets.tolist()) == {0, 1, 2, 3}
    assert source.n_outputs == 4
    prints = [Synthetic(data_seed=seed).load().fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    "options",
    [
        {"task": "ranking"},
        {"n_features": 0},
        {"n_examples": 20},
        {"n_classes": 1},
        {"condition_number": 0.5},
        {"condition_number": float("inf")},
        {"noise": -1.0},
        {"data_seed": -1},
    ],
)
def test_options_outside_their_ranges(options: dict) -> None:
    with pytest.raises(OptionError, match=rf"dataset\.{next(iter(options))}="):
        Synthetic(**options).load()
