"""A density's look at a matrix whose eigenvalues are known, and the 2 / lr beside gradient descent's."""

import math

import numpy as np
import pytest
import torch

from hessrun.errors import OptionError
from hessrun.objective import as_objective
from hessrun.optimizers import LBFGS, SGD, Insight
from hessrun.record import Spectrum
from hessrun.run import Probe
from hessrun.run.looking import look_at
from hessrun.run.probe import with_stability_limit

DIAGONAL = torch.tensor([-2.0, 0.5, 1.0, 3.0, 7.0], dtype=torch.float64)
X = torch.ones(5, dtype=torch.float64)
QUADRATIC = as_objective(lambda x: 0.5 * (DIAGONAL * x * x).sum(), X)


def test_a_density_of_as_many_products_as_parameters_has_the_eigenvalues_as_its_nodes():
    probe = Probe(kind="density", random_vectors=3)
    seen, memory = probe.look(QUADRATIC.uncounted(), X, Insight(), None, step=4)
    assert (seen.kind, seen.step, memory) == ("density", 4, None)
    np.testing.assert_allclose(seen.density_nodes, DIAGONAL.expand(3, 5).numpy(), rtol=1e-10)
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
