"""Where squares and quotients leave the range of the numbers: no error, and no step that is none."""

import math

import pytest
import torch

from hessrun.linesearch import Armijo
from hessrun.objective import as_objective
from hessrun.optimizers import BFGS, DFP, LBFGS, SR1, SSBFGS, Broyden, Newton, NewtonCG, NewtonCGLineSearch, NewtonTrust
from hessrun.run import Budget, minimize
from hessrun.status import Status

EVERY = [BFGS(), DFP(), Broyden(), SSBFGS(), SR1(), LBFGS(), LBFGS(initial_scaling="every"), NewtonTrust(), NewtonCG()]
named = pytest.mark.parametrize("method", EVERY, ids=lambda method: type(method).__name__)


@named
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e-17), (torch.float64, 1e-150)])
def test_a_minimum_at_the_origin_is_approached_to_the_end_of_the_numbers(method, dtype, scale) -> None:
    """Products of steps and gradients pass through the smallest numbers there are."""
    a = torch.logspace(-3, 0, 20, dtype=dtype)
    x0 = scale * torch.linspace(1, 2, 20, dtype=dtype)
    found = minimize(lambda x: 0.5 * torch.dot(x, a * x), x0, optimizer=method, budget=Budget(iterations=120))
    assert found.status in (Status.ITERATIONS_SPENT, Status.STALLED, Status.LINE_SEARCH_FAILED, Status.CONVERGED)
    assert bool(found.x.isfinite().all())
    assert float(found.x.abs().max()) <= 2 * scale


@named
def test_a_start_whose_square_overflows_is_left(method) -> None:
    x0, goal = torch.full((4,), 2e19, dtype=torch.float32), 2.2e19
    scale = float(((x0 - goal) / 1e10).square().sum())
    found = minimize(
        lambda x: ((x - goal) / 1e10).square().sum() / scale, x0, optimizer=method, budget=Budget(iterations=60)
    )
    assert found.value < 0.01


@pytest.mark.parametrize("method", [BFGS, LBFGS, NewtonCGLineSearch])
def test_a_step_that_leaves_x_as_it_was_is_no_step(method) -> None:
    """At a kink away from 0 the sum x + t d rounds to x before the search gives up."""
    found = minimize(
        lambda x: 1 + torch.maximum(x - 1, 2 - 2 * x).sum(),
        torch.ones(1, dtype=torch.float64),
        optimizer=method(line_search=Armijo()),
        budget=Budget(iterations=50),
    )
    assert found.status in (Status.LINE_SEARCH_FAILED, Status.STALLED)
    assert found.steps <= 2


def barrier(x: torch.Tensor) -> torch.Tensor | float:
    """Guarded by a constant that has no graph, as a careful user writes it."""
    return torch.tensor(math.inf) if bool(x.min() <= 0) else (x - x.log()).sum()


@pytest.mark.parametrize("method", [BFGS(), LBFGS(), SR1(), Newton(), NewtonTrust(), NewtonCG()])
@pytest.mark.parametrize("outside", [barrier, lambda x: math.inf if bool(x.min() <= 0) else barrier(x)])
def test_a_domain_that_is_guarded_by_a_constant(method, outside) -> None:
    found = minimize(outside, torch.tensor([1e-3, 40.0], dtype=torch.float64), optimizer=method)
    assert found.status is Status.CONVERGED
    torch.testing.assert_close(found.x, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_finite_value_without_a_graph_is_one_line() -> None:
    f = as_objective(lambda x: torch.tensor(3.0) if bool(x.detach() < 0) else x.sum(), torch.ones(1))
    with pytest.raises(Exception, match=r"The function's value 3 has no graph") as caught:
        f.evaluate(-torch.ones(1))
    assert "\n" not in str(caught.value)
