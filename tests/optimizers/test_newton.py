"""Newton's methods where the Hessian is singular, indefinite, 0 or beyond its dtype: no drift, no saddle, no loop."""

import math

import pytest
import torch
from walks import problem, resumes_bitwise, walk

from hessrun import Budget, minimize
from hessrun.objective import EmpiricalRisk
from hessrun.optimizers import Newton, NewtonTrust
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.status import Status

NEWTON = [Newton(), Newton(modification="shift"), Newton(modification="clip")]
METHODS = [*NEWTON, NewtonTrust()]
every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def vector(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def ended(f, start, method, **budget):
    return minimize(f, start, optimizer=method, budget=Budget(**{"iterations": 60, "gradient_target": 1e-8, **budget}))


def saddle(x):
    """Minima -1 at (0, +-sqrt 2)."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4


def tilted(x):
    """The same, where a step towards the saddle leaves a gradient that is not 0 to the last bit."""
    c, s = math.cos(0.7), math.sin(0.7)
    y = torch.stack([c * x[0] - s * x[1], s * x[0] + c * x[1]])
    return saddle(y) + 0.1 * y[0] ** 4


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_variable_that_f_ignores_is_left_alone(method, dtype):
    f = problem(lambda x: (x[0] - 1) ** 2 + (x[0] - 1) ** 4 + 0 * x[1], vector(5.0, 2.0, dtype=dtype))
    state, path = walk(method, f, 25)
    assert (path[:, 1] == 2).all()
    assert float(state.x[0]) == pytest.approx(1.0, abs=1e-3)
    assert method.insight(state).negative_curvature is False


@every_method
def test_a_valley_of_minima_is_crossed_by_the_shortest_way(method):
    result = ended(lambda x: (x.sum() - 3) ** 2, vector(4.0, -2.0, 3.0), method)
    assert result.status is Status.CONVERGED
    # A shift at the level of rounding leaves an error of a per cent or so along the valley.
    assert torch.allclose(result.x, vector(4.0, -2.0, 3.0) - 2 / 3, rtol=0, atol=0.02)


@pytest.mark.parametrize("radius", [1e-3, 1.0, 100.0])
def test_a_wide_region_is_not_filled_along_the_null_space(radius):
    result = ended(lambda x: (x.sum() - 3) ** 2, vector(4.0, -2.0, 3.0), NewtonTrust(initial_radius=radius))
    assert result.status is Status.CONVERGED
    # A shift at the level of rounding leaves an error of a per cent or so along the valley.
    assert torch.allclose(result.x, vector(4.0, -2.0, 3.0) - 2 / 3, rtol=0, atol=0.02)


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_dead_inputs_do_not_drift(method, dtype):
    """Softmax regression on 3 features of which one is always 0: its weights' Hessian and gradient are 0."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(50, 3, generator=generator, dtype=dtype)
    classes = (inputs @ torch.randn(3, 3, generator=generator, dtype=dtype)).argmax(1)
    classes[::7] = (classes[::7] + 1) % 3
    inputs[:, 1] = 0
    model = torch.nn.Linear(3, 3, dtype=dtype)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.25)
    risk = EmpiricalRisk(model, torch.nn.functional.cross_entropy, inputs, classes)
    x0 = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    f = AnalyticProblem(risk, x0, ProblemFacts("softmax", "analytic", risk.dim, 50))
    state, path = walk(method, f, 12)
    weights = path[:, :9].reshape(-1, 3, 3)
    # Rounding of g in the null space, over that of H, may move them once; the trust region does not move dead weights.
    dead = (weights[:, :, 1] - 0.25).abs().amax(1)
    assert dead.max() <= (0 if isinstance(method, NewtonTrust) else 0.1)
    # Adding a number to all classes' weights changes nothing either: no step does.
    sums = (weights.sum(1) - 0.75).abs().amax(1)
    assert sums.max() < 0.1
    assert state.here.gradient.abs().max() < 1e-5
    assert method.insight(state).negative_curvature is False


@every_method
@pytest.mark.parametrize("start", [(0.0, 0.0), (1.0, 0.0), (-3.0, 0.0), (0.0, 1e-9)])
@pytest.mark.parametrize("f", [saddle, tilted])
def test_every_damped_method_leaves_saddles(f, start, method):
    if f is tilted:
        c, s = math.cos(0.7), math.sin(0.7)
        start = (c * start[0] + s * start[1], -s * start[0] + c * start[1])
    result = ended(f, vector(*start), method)
    assert result.status is Status.CONVERGED
    assert float(result.value) == pytest.approx(-1.0)


@pytest.mark.parametrize("method", NEWTON, ids=repr)
def test_a_saddle_whose_curvature_lasts_for_less_than_the_first_step_is_left(method):
    result = ended(lambda x: x[0] ** 2 - x[1] ** 2 + 1e10 * x[1] ** 4, vector(0.0, 0.0), method, gradient_target=1e-12)
    assert float(result.value) == pytest.approx(-0.25e-10)


@pytest.mark.parametrize("start", [(0.0, 0.0), (1.0, 0.0)])
def test_plain_newton_is_not_converged_at_a_saddle(start):
    result = ended(saddle, vector(*start), Newton(modification="none"), iterations=9)
    assert result.x.tolist() == [0, 0]
    assert result.status is not Status.CONVERGED


@pytest.mark.parametrize("start", [(0.5, 3.0), (5.0, 3.0)])
def test_plain_newton_is_converged_at_a_minimum_also_where_the_hessian_is_singular(start):
    f = lambda x: (x[0] - 0.5) ** 2 + 0 * x[1]  # noqa: E731
    assert ended(f, vector(0.5, 3.0), Newton(modification="none")).status is Status.CONVERGED
    g = lambda x: torch.cosh(x[0] - 0.5) + x[1] ** 2  # noqa: E731
    assert ended(g, vector(*start), Newton(modification="none")).status is Status.CONVERGED


@every_method
def test_an_exact_minimum_costs_no_trial(method):
    for f in (lambda x: (x - 1).square().sum(), lambda x: (x[0] - 1) ** 2 + 0 * x[1], lambda x: 0 * x.sum() + 7):
        result = ended(f, vector(1.0, 1.0), method)
        assert result.status is Status.CONVERGED
        assert result.counts.gradients == 1


@every_method
@pytest.mark.parametrize("scale", [2.0**-26, 1.0, 2.0**26])
def test_where_the_hessian_is_zero_the_gradient_is_followed(method, scale):
    f = lambda x: scale * torch.relu(x.abs().sum() - 1)  # noqa: E731
    result = ended(f, vector(2.0, -1.0), method, gradient_target=None, gradient_tolerance=1e-8)
    assert result.value == 0
    assert result.status is Status.CONVERGED
    assert result.counts.gradients < 40


@every_method
def test_the_path_where_the_hessian_is_zero_knows_no_unit(method):
    paths = [
        walk(method, problem(lambda x, c=c: c * torch.relu(x.abs().sum() - 1), vector(20.0, -1.0)), 6)[1]
        for c in (1.0, 2.0**-26, 2.0**26)
    ]
    assert torch.equal(paths[0], paths[1])
    assert torch.equal(paths[0], paths[2])


@every_method
@pytest.mark.parametrize("most", [1, 3, 10])
def test_the_trials_of_a_step_are_bounded(method, most):
    method = type(method)(**{**vars(method), "max_trials": most})
    for f, start in ((lambda x: x.sum(), (1.0, 2.0)), (lambda x: x.square().sum().sqrt().exp(), (30.0, 2.0))):
        made = problem(f, vector(*start))
        state = method.init(made)
        for _ in range(4):
            before = made.train.counts.gradients
            state = method.step(made, state)
            assert made.train.counts.gradients - before <= most


def test_a_linear_function_costs_few_trials_at_the_start():
    f = problem(lambda x: x.sum(), vector(1.0, 2.0))
    method = NewtonTrust()
    state = method.step(f, method.init(f))
    assert f.train.counts.gradients <= 61
    assert state.failure is None


@every_method
def test_entries_whose_squares_overflow_float32_end_no_step_in_a_loop(method):
    f = problem(lambda x: 1e20 * (x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4), vector(1.0, 0.5, dtype=torch.float32))
    state, _ = walk(method, f, 15)
    assert float(state.here.value) == pytest.approx(-1e20, rel=1e-4)


@every_method
def test_a_finite_hessian_whose_sum_is_not_is_used(method):
    """The sum of its entries is 4.5e38."""
    f = problem(lambda x: 0.75e38 * (x - 1).square().sum(), vector(1.5, 1.25, 0.75, dtype=torch.float32))
    state, _ = walk(method, f, 8)
    assert (state.x - 1).abs().max() < 1e-3


def test_a_shift_beyond_float32_is_a_status():
    """The least eigenvalue is -4.5e38."""
    f = problem(lambda x: 0.75e38 * (x.square().sum() - x.sum() ** 2), vector(1e-3, 0, 0, 0, dtype=torch.float32))
    method = Newton(modification="shift")
    state = method.step(f, method.init(f))
    assert state.failure is Status.STALLED
    assert method.insight(state).negative_curvature is True


@every_method
def test_it_goes_on_where_a_stalled_state_is_moved(method):
    """The radius and the damping with which a step ended do not outlive it."""
    f = problem(lambda x: (x - 1).square().sum(), vector(1.0, 1.0))
    state = method.step(f, method.init(f))
    assert state.failure is Status.STALLED
    state.failure, state.x = None, vector(3.0, 4.0)
    state, _ = walk(method, f, 20, method.refresh(f, state))
    assert torch.allclose(state.x, vector(1.0, 1.0))


@every_method
def test_a_checkpoint_on_a_singular_or_indefinite_hessian_goes_on_bitwise(method):
    assert resumes_bitwise(method, problem(saddle, vector(1.0, 0.0)), 3, 5)
    assert resumes_bitwise(method, problem(lambda x: (x.sum() - 3) ** 4, vector(4.0, -2.0)), 3, 5)
