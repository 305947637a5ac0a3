"""The library's one-liner, and the loop behind it."""

import pytest
import torch

import hessrun
from hessrun.errors import ObjectiveError, OptionError
from hessrun.optimizers import BFGS, LBFGS, SGD, Newton, Optimizer, TorchOptimizer
from hessrun.status import Status

METHODS: list[Optimizer] = [
    SGD(lr=1e-3),
    SGD(lr=1e-4, momentum=0.9, nesterov=True),
    Newton(),
    Newton(modification="shift"),
    Newton(modification="clip"),
    BFGS(),
    LBFGS(),
    TorchOptimizer(torch.optim.Adam, {"lr": 1e-2}),
    TorchOptimizer(torch.optim.LBFGS, {"max_iter": 1, "max_eval": 26, "line_search_fn": "strong_wolfe"}),
]
X0 = torch.tensor([-1.2, 1.0], dtype=torch.float64)


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def run(optimizer: Optimizer, function=rosenbrock, x0=X0, **budget) -> hessrun.Result:
    return hessrun.minimize(function, x0, optimizer=optimizer, budget=hessrun.Budget(**{"iterations": 50} | budget))


@pytest.mark.parametrize("optimizer", METHODS, ids=repr)
class TestEveryMethod:
    def test_lowers_the_loss_and_spends_its_iterations_exactly(self, optimizer: Optimizer) -> None:
        found = run(optimizer, iterations=7)
        assert found.status is Status.ITERATIONS_SPENT
        assert found.steps == 7
        assert [row["step"] for row in found.trace] == list(range(8))
        assert found.value < found.trace[0]["train_loss"]
        assert found.value == rosenbrock(found.x).item()

    def test_stops_at_a_target(self, optimizer: Optimizer) -> None:
        found = run(optimizer, target_loss=23.0, iterations=2000)
        assert found.status is Status.TARGET_REACHED
        assert found.trace[-2]["train_loss"] > 23.0 >= found.trace[-1]["train_loss"] or found.steps % 10 == 0

    def test_stops_at_its_passes_and_seconds(self, optimizer: Optimizer) -> None:
        assert run(optimizer, passes=5.0).status is Status.EVALUATIONS_SPENT
        assert run(optimizer, seconds=1e-9).status is Status.SECONDS_SPENT

    def test_a_callback_stops_it(self, optimizer: Optimizer) -> None:
        found = hessrun.minimize(rosenbrock, X0, optimizer=optimizer, callback=lambda row: row["step"] == 3)
        assert (found.status, found.steps) == (Status.STOPPED, 3)

    def test_same_start_same_trace_and_logging_changes_nothing(self, optimizer: Optimizer) -> None:
        first, second = run(optimizer, iterations=12), run(optimizer, iterations=12)
        probed = hessrun.minimize(
            rosenbrock,
            X0,
            optimizer=optimizer,
            budget=hessrun.Budget(iterations=12),
            probe=hessrun.Probe(kind="exact", schedule="every", every=1),
        )
        assert torch.equal(first.x, second.x)
        assert torch.equal(first.x, probed.x)
        assert first.counts == second.counts == probed.counts
        assert len(probed.spectra) == 13

    def test_a_function_that_leaves_its_domain_ends_with_a_finite_best_point(self, optimizer: Optimizer) -> None:
        found = run(optimizer, lambda x: (x - torch.log(x)).sum(), torch.tensor([5.0], dtype=torch.float64))
        assert torch.isfinite(found.x).all()
        assert found.value <= 5.0


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
