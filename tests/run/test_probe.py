"""A density's look at a matrix whose eigenvalues are known, and the 2 / lr beside gradient descent's."""

import math

import numpy as np
import pytest
import torch

from hessrun.errors import OptionError
from hessrun.objective import as_objective
from hessrun.optimizers import BFGS, LBFGS, SGD, SR1, Insight
from hessrun.record import Spectrum
from hessrun.run import Budget, Probe, minimize
from hessrun.run.looking import look_at
from hessrun.run.probe import with_stability_limit

DIAGONAL = torch.tensor([-2.0, 0.5, 1.0, 3.0, 7.0], dtype=torch.float64)
X = torch.ones(5, dtype=torch.float64)
QUADRATIC = as_objective(lambda x: 0.5 * (DIAGONAL * x * x).sum(), X)


def test_a_density_of_as_many_products_as_parameters_has_the_eigenvalues_as_its_nodes():
    probe = Probe(kind="density", random_vectors=3)
    seen, memory = probe.look(QUADRATIC.uncounted(), X, Insight(), None, step=4)
    assert (seen.kind, seen.step, memory) == ("density", 4, None)
    # The largest stands there twice: where the probe sees it, and as found, with the weight that is known.
    np.testing.assert_allclose(seen.density_nodes, np.tile([-2.0, 0.5, 1.0, 3.0, 7.0, 7.0], (3, 1)), rtol=1e-10)
    np.testing.assert_allclose(seen.density_weights[:, 4:].sum(1), 1 / 5)
    np.testing.assert_allclose(seen.density_weights.sum(1), 1.0)
    assert seen.products == 15


def test_every_method_sees_the_same_ends():
    for method in ("exact", "lanczos", "density"):
        seen, _ = look_at(QUADRATIC, X, method=method, k=2)
        assert (seen.largest[0], seen.smallest[0]) == (pytest.approx(7.0), pytest.approx(-2.0))
    with pytest.raises(OptionError, match="only 5 eigenvalues"):
        look_at(QUADRATIC, X, method="lanczos", k=6)


def test_the_stability_limit_is_of_gradient_descent_without_momentum():
    seen = Spectrum(0, 5, "lanczos")
    assert with_stability_limit(seen, SGD(lr=0.25)).stability_limit == 8.0
    assert math.isnan(with_stability_limit(seen, SGD(lr=0.25, momentum=0.9)).stability_limit)
    assert math.isnan(with_stability_limit(seen, LBFGS()).stability_limit)


@pytest.mark.parametrize("optimizer", [BFGS(), LBFGS(memory=20), SR1()], ids=repr)
def test_the_preconditioned_spectrum_of_a_quadratic_gathers_at_one(optimizer):
    probe = Probe(kind="exact", schedule="every", every=1, eigenvalues=2, quasi_newton=True)
    definite = torch.tensor([0.1, 0.5, 1.0, 3.0, 7.0], dtype=torch.float64)
    budget = Budget(iterations=14, gradient_target=1e-12)
    result = minimize(lambda x: 0.5 * (definite * x * x).sum(), X, optimizer=optimizer, budget=budget, probe=probe)
    seen = [one for one in result.spectra if len(one.preconditioned_largest)]
    first, last = seen[0], seen[-1]
    if first.step == 0:  # before the first pair B = I, and H B^-1 is H
        np.testing.assert_allclose(first.preconditioned_largest, [7.0, 3.0], rtol=1e-6)
        np.testing.assert_allclose(first.preconditioned_smallest, [0.1, 0.5], rtol=1e-6)
        assert first.preconditioned_condition == pytest.approx(70.0, rel=1e-6)
    assert 1 <= last.preconditioned_condition < 0.2 * 70
    assert last.condition_number == pytest.approx(70.0)
    assert last.products > 0


def test_gradient_descent_records_its_stability_limit_and_others_none():
    for optimizer, limit in ((SGD(lr=0.1), 20.0), (BFGS(), math.nan)):
        result = minimize(
            QUADRATIC, X, optimizer=optimizer, budget=Budget(iterations=2), probe=Probe(kind="lanczos", eigenvalues=1)
        )
        np.testing.assert_equal([seen.stability_limit for seen in result.spectra], [limit] * len(result.spectra))


@pytest.mark.parametrize("probe", [Probe(), Probe(schedule="every", every=3), Probe(schedule="every", every=1)])
def test_the_next_look_is_the_first_step_that_is_due(probe: Probe) -> None:
    for step in range(70):
        assert probe.next_due(step) == next(k for k in range(step + 1, 200) if probe.is_due(k))


def test_a_probe_that_is_off_is_never_due() -> None:
    assert Probe(kind="off").next_due(7) is None


def test_the_next_look_takes_no_longer_late_in_a_run() -> None:
    """It is asked for at every stop: one that counts its way there would take seconds here."""
    assert Probe().next_due(10**12) == 2**40
