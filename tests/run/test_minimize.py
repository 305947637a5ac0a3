"""The library's one-liner, and the loop behind it."""

import math

import pytest
import torch

import hessrun
from hessrun.errors import ObjectiveError, OptionError
from hessrun.optimizers import BFGS, LBFGS, SGD, Newton, NewtonTrust, Optimizer, TorchOptimizer
from hessrun.status import Status

X0 = torch.tensor([-1.2, 1.0], dtype=torch.float64)


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def run(optimizer: Optimizer, function=rosenbrock, x0=X0, **budget) -> hessrun.Result:
    return hessrun.minimize(function, x0, optimizer=optimizer, budget=hessrun.Budget(**{"iterations": 50} | budget))


@pytest.mark.parametrize("optimizer", [SGD(lr=1e-3), BFGS(), TorchOptimizer(torch.optim.Adam, {"lr": 1e-2})], ids=repr)
class TestResult:
    """What every method does with its budget is the contract's matter, in tests/optimizers/test_contract.py."""

    def test_it_is_the_best_point_of_the_trace(self, optimizer: Optimizer) -> None:
        found = run(optimizer, iterations=7)
        assert (found.status, found.steps) == (Status.ITERATIONS_SPENT, 7)
        assert [row["step"] for row in found.trace] == list(range(8))
        assert found.value == min(row["train_loss"] for row in found.trace) == rosenbrock(found.x).item()
        assert found.gradient.abs().max() in [row["gradient_max"] for row in found.trace]
        assert found.counts.gradients >= 7

    def test_a_callback_stops_it(self, optimizer: Optimizer) -> None:
        found = hessrun.minimize(rosenbrock, X0, optimizer=optimizer, callback=lambda row: row["step"] == 3)
        assert (found.status, found.steps) == (Status.STOPPED, 3)

    def test_a_probe_adds_spectra_and_nothing_else(self, optimizer: Optimizer) -> None:
        probe = hessrun.Probe(kind="exact", schedule="every", every=1)
        budget = hessrun.Budget(iterations=12)
        probed = hessrun.minimize(rosenbrock, X0, optimizer=optimizer, budget=budget, probe=probe)
        plain = run(optimizer, iterations=12)
        assert torch.equal(plain.x, probed.x)
        assert plain.counts == probed.counts
        assert len(probed.spectra) == 13


@pytest.mark.parametrize("optimizer", [Newton(), BFGS(), LBFGS()], ids=repr)
def test_second_order_methods_solve_rosenbrock(optimizer: Optimizer) -> None:
    found = run(optimizer, gradient_tolerance=1e-10, iterations=100)
    assert found.status is Status.CONVERGED
    assert torch.allclose(found.x, torch.ones(2, dtype=torch.float64), atol=1e-6)


def test_gradient_descent_that_diverges_says_so_and_keeps_its_best_point() -> None:
    found = run(SGD(lr=1e3))
    assert found.status is Status.DIVERGED
    assert found.value == pytest.approx(24.2)


@pytest.mark.parametrize("x0", [(1.0, 0.0), (0.0, 0.0)])
def test_newton_does_not_take_a_saddle_for_a_minimum(x0: tuple[float, float]) -> None:
    found = run(
        Newton(),
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4,
        torch.tensor(x0, dtype=torch.float64),
        gradient_target=1e-10,
    )
    if x0 == (0.0, 0.0):
        assert found.status is Status.CONVERGED
        assert found.value == pytest.approx(-1.0)
    else:  # x1 stays exactly 0 until the gradient vanishes, then the eigenvector leads away
        assert found.value == pytest.approx(-1.0)


def test_newton_hands_its_eigenvalues_on() -> None:
    found = hessrun.minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4,
        torch.tensor([1.0, 0.1], dtype=torch.float64),
        optimizer=Newton(),
        budget=hessrun.Budget(iterations=1),
        probe=hessrun.Probe(kind="exact"),
    )
    first = found.spectra[0]
    assert first.source == "optimizer"
    assert first.eigenvalues.tolist() == pytest.approx([-1.97, 2.0])
    assert first.negative == 1


@pytest.mark.parametrize(
    ("function", "x0", "error"),
    [
        (rosenbrock, [1.0, 2.0], OptionError),
        (rosenbrock, torch.empty(0), OptionError),
        (rosenbrock, torch.tensor([1, 2]), OptionError),
        (lambda x: x, X0, ObjectiveError),
        (lambda x: x.detach().sum(), X0, ObjectiveError),
        (lambda x: x.sum() * torch.rand(()), X0, ObjectiveError),
    ],
)
def test_what_cannot_be_minimised_is_refused_in_a_line(function, x0, error) -> None:
    with pytest.raises(error) as caught:
        hessrun.minimize(function, x0)
    assert "\n" not in str(caught.value)


def test_the_best_point_is_finite_where_the_value_runs_off_to_minus_infinity() -> None:
    x0 = torch.tensor([2.0], dtype=torch.float64)
    found = hessrun.minimize(lambda x: -(x**4).sum(), x0, optimizer=SGD(lr=1.0), budget=hessrun.Budget(iterations=50))
    assert found.status is Status.DIVERGED
    assert math.isfinite(found.value)
    assert bool(found.gradient.isfinite().all())


@pytest.mark.parametrize("x0", [[1.0, 2.0], None, torch.ones(2, dtype=torch.int64), torch.ones(0)])
@pytest.mark.parametrize("is_objective", [False, True])
def test_a_start_of_another_kind_is_one_line(x0, is_objective) -> None:
    function = hessrun.as_objective(rosenbrock, X0) if is_objective else rosenbrock
    with pytest.raises(OptionError, match="x0 must"):
        hessrun.minimize(function, x0)


@pytest.mark.parametrize("parts", [{"optimizer": BFGS}, {"optimizer": "bfgs"}, {"budget": 5}, {"probe": "exact"}])
def test_parts_of_another_kind_are_one_line(parts) -> None:
    with pytest.raises(OptionError, match="must be an instance of hessrun's"):
        hessrun.minimize(rosenbrock, X0, **parts)


def test_plain_newton_ends_where_it_would_leave_the_domain() -> None:
    """f = x - log x from 5: Newton's step goes to -15."""
    x0 = torch.tensor([5.0], dtype=torch.float64)
    found = run(Newton(modification="none"), lambda x: (x - x.log()).sum(), x0)
    assert found.status is Status.DIVERGED
    assert torch.equal(found.x, x0)
    assert all(math.isfinite(row["train_loss"]) for row in found.trace)


def test_a_start_at_a_saddle_may_end_converged() -> None:
    """Its gradient of 0 is no scale: x^2 - y^2 + y^4 / 4 has its minima at y^2 = 2."""
    found = run(
        Newton(), lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, torch.zeros(2).double(), gradient_tolerance=1e-6
    )
    assert found.status is Status.CONVERGED
    assert found.value == pytest.approx(-1.0, abs=1e-9)


@pytest.mark.parametrize("iterations", [1, 2, 5, 10])
@pytest.mark.parametrize("optimizer", [LBFGS(), LBFGS(memory=1), BFGS()], ids=repr)
def test_it_is_the_best_point_that_was_evaluated(optimizer: Optimizer, iterations: int) -> None:
    """Among many waves a longer trial may meet the Wolfe conditions above a shorter one."""
    seen = []

    def waves(x: torch.Tensor) -> torch.Tensor:
        value = (x * x).sum() - 3 * torch.cos(6 * x).sum()
        seen.append(float(value.detach()))
        return value

    found = run(optimizer, waves, torch.tensor([-7.0, 2.2, 5.9], dtype=torch.float64), iterations=iterations)
    assert found.value == pytest.approx(min(seen), rel=1e-14)


@pytest.mark.parametrize("optimizer", [Newton(), NewtonTrust()], ids=repr)
def test_numbers_without_factors_are_refused_at_the_start(optimizer: Optimizer) -> None:
    with pytest.raises(OptionError, match="float32 or float64; here it is"):
        run(optimizer, x0=X0.half())
