"""Newton-CG in a trust region and with a line search: closed forms, saddles, scale, rounding, counts, samples."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from walks import Calls, made, problem, resumes_bitwise, walk

from hessrun.errors import OptionError
from hessrun.linalg import negative_curvature
from hessrun.linesearch import Armijo
from hessrun.objective import EmpiricalRisk, as_objective
from hessrun.objective.analytic import quadratic, rosenbrock
from hessrun.optimizers.gauss_newton import GaussNewton
from hessrun.optimizers.inexact_newton import descend
from hessrun.optimizers.newton_cg import NewtonCG
from hessrun.optimizers.newton_cg_line_search import NewtonCGLineSearch
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.problem import ProblemFacts
from hessrun.run import Budget, minimize
from hessrun.status import Status

METHODS = [NewtonCG(), NewtonCGLineSearch(), NewtonCGLineSearch(line_search=Armijo())]


def saddle(x):
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4


def learning(n_examples=300, seed=0, dtype=torch.float64):
    """Three noisy classes and a small network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        centres = 2 * torch.randn(3, 6)
        targets = torch.randint(3, (n_examples,))
        inputs = (centres[targets] + torch.randn(n_examples, 6)).to(dtype)
        module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    risk = EmpiricalRisk(module, functional.cross_entropy, inputs, targets, weight_decay=1e-3)
    return SupervisedProblem(risk, (), seed=seed, facts=ProblemFacts("net", "supervised", risk.dim, n_examples))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("analytic", [rosenbrock(2), rosenbrock(10), quadratic(20)])
def test_the_minimum_is_found(method, analytic):
    found = minimize(
        analytic.objective, analytic.x0, optimizer=method, budget=Budget(iterations=100, gradient_tolerance=1e-9)
    )
    assert found.status is Status.CONVERGED
    assert (found.x - analytic.minimiser).norm() < 1e-4


def test_a_quadratic_with_distinct_eigenvalues_takes_one_step_at_a_tight_tolerance():
    analytic = quadratic(12, condition_number=50.0)
    state, _ = walk(NewtonCG(forcing=1e-12, initial_radius=1e6), made(analytic), 1)
    assert (state.x - analytic.minimiser).norm() < 1e-8


def test_the_first_radius_grows_within_the_first_step():
    analytic = quadratic(12, condition_number=50.0)
    f = made(analytic)
    method = NewtonCG(forcing=1e-12)
    state, _ = walk(method, f, 1)
    assert (state.x - analytic.minimiser).norm() < 1e-8
    assert f.train.counts.products == state.cg_iterations <= 14
    assert f.train.counts.gradients <= 20


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [(1.0, 0.0), (1.0, 1e-8), (0.0, 0.0)])
def test_a_saddle_is_left(method, start):
    """The minima are (0, +-sqrt 2); from (1, 0) no gradient ever points at them."""
    x0 = torch.tensor(start, dtype=torch.float64)
    budget = Budget(iterations=60, gradient_tolerance=1e-8, gradient_target=1e-8)
    found = minimize(saddle, x0, optimizer=method, budget=budget)
    assert found.status is Status.CONVERGED
    assert found.value == pytest.approx(-1.0, abs=1e-10)
    assert abs(found.x[1]) == pytest.approx(math.sqrt(2), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_at_a_saddle_it_does_not_claim_to_have_looked(method):
    f = problem(saddle, torch.tensor([1.0, 0.0], dtype=torch.float64))
    state = method.init(f)
    assert method.insight(state).negative_curvature is None
    while float(state.here.gradient.abs().max()) > 0 and state.step < 20:
        state = method.step(f, state)
    assert state.x.abs().max() < 1e-12
    assert method.insight(state).negative_curvature is None
    state = method.step(f, state)
    assert method.insight(state).negative_curvature is True
    assert state.here.value < -0.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [-26, 26])
def test_scaling_f_by_a_power_of_two_changes_no_bit_of_x(method, power):
    for analytic, steps in ((rosenbrock(6), 30), (quadratic(15), 10)):
        _, plain = walk(method, made(analytic), steps)
        _, scaled = walk(method, made(analytic, 2.0**power), steps)
        assert torch.equal(plain, scaled)


@pytest.mark.parametrize("method", METHODS)
def test_log_domain_never_ends_in_nan(method):
    start = torch.tensor([5.0, 50.0, 0.01, 3.0, 1e3], dtype=torch.float64)
    # Far out f is all but linear, and a ball of 10 around x is all that the trust region dares.
    state, path = walk(method, problem(lambda x: (x - x.log()).sum(), start), 320)
    assert path.isfinite().all()
    assert (state.x - 1).abs().max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x**4).sum(),
        lambda x: (x.abs() ** 1.5).sum(),
        lambda x: -x.sum(),
        lambda x: (x.exp() - 2 * x).sum(),
        lambda x: (1e20 * x**2).sum(),
    ],
)
def test_float32_ends_in_numbers_and_a_status(method, function):
    f = problem(function, torch.tensor([0.5, -2.0, 30.0], dtype=torch.float32))
    state = method.init(f)
    for _ in range(80):
        state = method.step(f, state)
        assert state.x.isfinite().all()
        if state.failure is not None:
            break


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_is_not_finite_is_an_outcome(method):
    f = problem(lambda x: (x - x.log()).sum(), torch.tensor([-1.0, 2.0], dtype=torch.float64))
    assert method.step(f, method.init(f)).failure is Status.DIVERGED


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_is_left_to_gain_it_says_so(method):
    """f never reaches a gradient of 0 here: what ends the run is rounding."""
    f = problem(lambda x: ((x - math.pi) ** 2).sum() + 1e6, torch.ones(3, dtype=torch.float64))
    state = method.init(f)
    for _ in range(60):
        state = method.step(f, state)
        if state.failure is not None:
            break
    assert (state.x - math.pi).abs().max() < 1e-6
    assert state.failure in (None, Status.STALLED, Status.LINE_SEARCH_FAILED)


@pytest.mark.parametrize(
    "method", [*METHODS, NewtonCG(batch_size=50, product_batch_size=20), NewtonCG(product_batch_size=40)]
)
def test_a_checkpoint_goes_on_bitwise(method):
    f = learning()
    assert resumes_bitwise(method, f, 4, 5)


@pytest.mark.parametrize("method", METHODS)
def test_every_product_and_gradient_is_counted(method, monkeypatch):
    f = made(rosenbrock(8))
    calls, cg = Calls(f.train, monkeypatch), 0
    state = method.init(f)
    for _ in range(30):
        state = method.step(f, state)
        cg += state.cg_iterations
        if state.failure is not None or not state.here.gradient.any():
            break
    assert f.train.counts.products == calls.products == cg
    assert f.train.counts.gradients == calls.gradients


def test_a_refused_trial_costs_a_gradient_and_no_product():
    f = made(rosenbrock(2))
    method = NewtonCG(initial_radius=1e4)
    state = method.init(f)
    x = torch.tensor([0.0, 5.0], dtype=torch.float64)
    state.x = x
    state = method.refresh(f, state)
    before = f.train.counts
    state = method.step(f, state)
    spent = f.train.counts - before
    assert spent.gradients == state.rejected + 1
    assert spent.products <= 2


def test_steps_are_those_of_the_dense_newton_method_near_the_minimum():
    f = learning()
    method = NewtonCG(forcing=1e-10, max_cg_iterations=400)
    state, _ = walk(method, f, 30)
    assert state.here.gradient.abs().max() <= 1e-9
    state.x = state.x + 1e-3 * torch.randn(len(state.x), generator=torch.Generator().manual_seed(2)).double()
    state = method.refresh(f, state)
    here = state.here
    dense = torch.linalg.solve(f.train.hessian(here.x), -here.gradient)
    state = method.step(f, state)
    assert (state.x - here.x - dense).norm() <= 1e-4 * dense.norm()


def test_it_finds_what_scipys_newton_cg_finds():
    scipy_optimize = pytest.importorskip("scipy.optimize")
    f = learning().train
    convex = nn.Linear(6, 3).double()
    risk = EmpiricalRisk(convex, functional.cross_entropy, f.inputs, f.targets, weight_decay=1e-2)

    def value_and_gradient(x):
        found = risk.evaluate(torch.from_numpy(x))
        return float(found.value), found.gradient.numpy()

    def product(x, v):
        with risk.curvature(torch.from_numpy(x)) as B:
            return (B @ torch.from_numpy(v)).numpy()

    theirs = scipy_optimize.minimize(
        value_and_gradient, risk.x0.numpy(), jac=True, hessp=product, method="trust-ncg", options={"gtol": 1e-9}
    )
    for method in METHODS:
        ours = minimize(risk, risk.x0, optimizer=method, budget=Budget(iterations=60, gradient_tolerance=1e-9))
        assert ours.status is Status.CONVERGED
        assert torch.allclose(ours.x, torch.from_numpy(theirs.x), atol=1e-6)
        assert ours.value == pytest.approx(theirs.fun, rel=1e-12)


def test_convergence_is_superlinear():
    f = learning()
    method = NewtonCG()
    minimiser = walk(NewtonCG(forcing=1e-10, max_cg_iterations=400), f, 24)[0].x
    _, path = walk(method, f, 20)
    errors = [float((x - minimiser).norm()) for x in path]
    ratios = [b / a for a, b in itertools.pairwise(errors) if 1e-9 < a < 1e-2]
    assert ratios
    assert min(ratios) < 0.05
    assert errors[-1] < 1e-7


@pytest.mark.parametrize("method", [NewtonCG(batch_size=100, product_batch_size=50), NewtonCG(batch_size=100)])
def test_minibatches_lower_the_whole_loss_with_fewer_passes(method):
    f = learning(n_examples=600)
    assert method.is_stochastic
    start = float(f.train.uncounted().evaluate(f.x0).value)
    state = method.init(f)
    assert state.evaluation is None
    assert f.train.counts.gradients == 0
    for _ in range(12):
        state = method.step(f, state)
        assert state.evaluation is None
        assert state.failure is None
    sampled, spent = f.train.uncounted().evaluate(state.x).value, f.train.counts
    full = learning(n_examples=600)
    state = NewtonCG().init(full)
    while float(state.here.value) > float(sampled):
        state = NewtonCG().step(full, state)
    assert float(sampled) < 0.3 * start
    assert spent.gradients + spent.products < full.train.counts.gradients + full.train.counts.products


def test_sampled_products_keep_the_whole_gradient():
    f = learning(n_examples=600)
    method = NewtonCG(product_batch_size=60)
    assert not method.is_stochastic
    state, _ = walk(method, f, 15)
    reference = f.train.uncounted().evaluate(state.x)
    assert torch.equal(state.here.gradient, reference.gradient)
    assert float(reference.value) < 0.3 * float(f.train.uncounted().evaluate(f.x0).value)
    assert f.train.counts.products < 0.11 * 200 * 15


def rotated(values, seed=5):
    """A symmetric matrix of these eigenvalues."""
    n = len(values)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return (Q * values) @ Q.T


@pytest.mark.parametrize("method", [NewtonCG(), NewtonCGLineSearch(), NewtonCG(max_cg_iterations=3)])
def test_a_saddle_of_little_negative_curvature_is_not_taken_for_a_minimum(method):
    """One eigenvalue of -1e-5 among 399 from 1e-6 to 1: it takes more products than a step may make."""
    values = torch.logspace(-6, 0, 400, dtype=torch.float64)
    values[0] = -1e-5
    A = rotated(values)
    f = problem(lambda x: 0.5 * torch.dot(x, A @ x) + 1e-6 * (x**4).sum(), torch.zeros(400, dtype=torch.float64))
    found = minimize(f.train, f.x0, optimizer=method, budget=Budget(iterations=3, gradient_target=1e-12))
    assert found.status is Status.ITERATIONS_SPENT
    assert found.value < 0
    bowl = problem(lambda x: 0.5 * torch.dot(x, A @ (A @ x)), f.x0)
    assert minimize(bowl.train, bowl.x0, optimizer=method, budget=Budget(iterations=9)).status is Status.CONVERGED


def test_the_search_sees_all_examples_where_the_products_of_a_step_are_sampled():
    """f is the mean of (c_i y^2 + x^2) / 2 + y^4: one c is -20, those of the others 1."""

    class Point(nn.Module):
        def __init__(self):
            super().__init__()
            self.xy = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))

        def forward(self, c):
            x, y = self.xy
            return c * y**2 / 2 + x**2 / 2 + y**4

    c = torch.ones(10, 1, dtype=torch.float64)
    c[3] = -20
    risk = EmpiricalRisk(Point(), lambda outputs, _: outputs.mean(), c, c)
    f = SupervisedProblem(risk, (), seed=0, facts=ProblemFacts("saddle", "supervised", 2, 10))
    state, _ = walk(NewtonCG(product_batch_size=1), f, 40)
    assert float(state.here.value) == pytest.approx(-(1.1**2) / 16, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_that_stays_open_claims_nothing_and_ends(method, monkeypatch):
    monkeypatch.setattr(negative_curvature, "_ORTHOGONAL_UP_TO", 0)
    n = 150
    A = rotated(torch.logspace(-12, 0, n, dtype=torch.float64))
    f = problem(lambda x: 0.5 * torch.dot(x, A @ x), torch.zeros(n, dtype=torch.float64))
    state, products = method.init(f), []
    while state.failure is None and state.step < 9:
        state = method.step(f, state)
        products.append(state.cg_iterations)
        assert method.insight(state).negative_curvature is None
    assert state.failure is Status.STALLED
    assert products == [200, 4 * n]
    assert f.train.counts.products == sum(products)
    found = minimize(f.train, f.x0, optimizer=method, budget=Budget(iterations=9, gradient_target=1.0))
    assert found.status is Status.STALLED
    state.x = torch.ones(n, dtype=torch.float64)
    assert method.refresh(f, state).looked == 0


@pytest.mark.parametrize("method", METHODS)
def test_negative_curvature_that_rounding_hides_is_no_minimum(method):
    """Beside 1e12 no step of this saddle is seen in f."""
    f = problem(lambda x: 1e-9 * saddle(x) + 1e12, torch.zeros(2, dtype=torch.float64))
    state = method.step(f, method.init(f))
    assert state.failure is Status.STALLED
    assert method.insight(state).negative_curvature is None


def test_trials_that_are_accepted_count_too():
    f = problem(lambda x: x.sum(), torch.ones(3, dtype=torch.float64))
    method = NewtonCG(max_trials=7)
    state = method.init(f)
    before = f.train.counts.gradients
    state = method.step(f, state)
    assert f.train.counts.gradients - before == 7
    assert state.failure is None
    assert state.here.value < 3


@pytest.mark.parametrize("method", [NewtonCG(batch_size=50), NewtonCGLineSearch(batch_size=50)])
def test_a_batch_that_allows_no_step_is_passed_over_and_ten_in_a_row_end_the_run(method, monkeypatch):
    f = learning()
    state, _ = walk(method, f, 2)
    risk, x = type(f.train), state.x
    evaluate = risk._evaluate

    def walled(objective, point, gradient):
        found = evaluate(objective, point, gradient)
        return found if torch.equal(point, x) else replace(found, value=found.value * math.nan)

    with monkeypatch.context() as patched:
        patched.setattr(risk, "_evaluate", walled)
        for failed in range(1, 10):
            state = method.step(f, state)
            assert torch.equal(state.x, x)
            assert (state.failure, state.step_size, state.failed_in_a_row) == (None, 0.0, failed)
        assert method.step(f, replace(state)).failure in (Status.STALLED, Status.LINE_SEARCH_FAILED)
        patched.setattr(risk, "_evaluate", lambda o, p, g: replace(evaluate(o, p, g), value=p[0] * math.nan))
        assert method.step(f, replace(state, failed_in_a_row=0)).failure is None
        assert method.step(f, replace(state)).failure is Status.DIVERGED
    state = method.step(f, state)
    assert not torch.equal(state.x, x)
    assert (state.failure, state.failed_in_a_row) == (None, 0)


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_forcing_term_is_that_of_the_two_norm(factor, monkeypatch):
    """In float32, where the square of such a gradient over- or underflows."""
    seen, path = [], NewtonCG._path

    def spied(self, B, here, tolerance, *rest):
        seen.append(tolerance)
        return path(self, B, here, tolerance, *rest)

    monkeypatch.setattr(NewtonCG, "_path", spied)
    f = problem(lambda x: factor * x.cosh().sum(), torch.tensor([0.5, 2.0, -1.0], dtype=torch.float32))
    method = NewtonCG(forcing=0.99)
    state = method.init(f)
    first = (state.here.gradient.double() / factor).norm()
    for _ in range(4):
        expected = min(0.99, math.sqrt((state.here.gradient.double() / factor).norm() / first))
        state = method.step(f, state)
        assert seen[-1] == pytest.approx(expected, rel=1e-5)
    assert expected < 0.9


def test_descending_ends_on_a_function_without_a_bottom():
    f = as_objective(lambda x: -(x * x).sum(), torch.zeros(1, dtype=torch.float64) + 1)
    here = f.evaluate(torch.zeros(1, dtype=torch.float64))
    there = descend(f, here, torch.ones(1, dtype=torch.float64))
    assert there.is_finite()
    bowl = as_objective(lambda x: (x * x).sum(), torch.ones(1, dtype=torch.float64))
    assert descend(bowl, bowl.evaluate(torch.zeros(1, dtype=torch.float64)), torch.ones(1, dtype=torch.float64)) is None


@pytest.mark.parametrize("method", METHODS)
def test_columns_and_refresh(method):
    f = made(rosenbrock(4))
    state, _ = walk(method, f, 3)
    assert {"cg_iterations", "negative_curvature"} <= set(method.columns(state))
    again = method.refresh(f, state)
    assert torch.equal(again.x, state.x)
    assert method.insight(again).negative_curvature is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: NewtonCG(initial_radius=0.0),
        lambda: NewtonCG(initial_radius=math.inf),
        lambda: NewtonCG(forcing=1.0),
        lambda: NewtonCG(forcing=""),
        lambda: NewtonCG(max_cg_iterations=0),
        lambda: NewtonCG(max_trials=0),
        lambda: NewtonCG(batch_size=0),
        lambda: NewtonCG(product_batch_size=2.5),
        lambda: NewtonCG(product_dtype="float16"),
        lambda: NewtonCG(preconditioner=-1),
        lambda: NewtonCGLineSearch(preconditioner=1.5),
        lambda: NewtonCGLineSearch(forcing=0.0),
        lambda: NewtonCGLineSearch(batch_size=-1),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(OptionError):
        make()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("method", METHODS)
def test_on_cuda_as_on_the_host(method):
    analytic = rosenbrock(6, device="cuda")
    found = minimize(
        analytic.objective, analytic.x0, optimizer=method, budget=Budget(iterations=100, gradient_tolerance=1e-9)
    )
    assert found.status is Status.CONVERGED
    assert (found.x - analytic.minimiser).norm() < 1e-4


@pytest.mark.parametrize("method", [NewtonCG, NewtonCGLineSearch, GaussNewton])
def test_single_precision_products_reach_the_same_minimum_in_double(method):
    problem = softmax_regression()
    plain, single = (run(method(product_dtype=dtype), problem) for dtype in (None, "float32"))
    assert single.x.dtype == torch.float64
    assert float(single.here.gradient.abs().amax()) < 1e-8
    assert (single.x - plain.x).norm() < 1e-6
    assert single.cg_iterations > 0


def softmax_regression():
    """Softmax regression with weight decay: one minimum."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(80, 5, generator=generator, dtype=torch.float64)
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 3).double()
    targets = torch.randint(3, (80,), generator=generator)
    risk = EmpiricalRisk(module, torch.nn.functional.cross_entropy, inputs, targets, weight_decay=1e-2)
    return AnalyticProblem(risk, risk.x0, ProblemFacts("softmax", "analytic", risk.dim, 80))


def run(method, problem, steps=60):
    state = method.init(problem)
    for _ in range(steps):
        state = method.step(problem, state)
        if state.failure is not None or float(state.here.gradient.abs().amax()) < 1e-9:
            break
    return state


def test_single_precision_is_refused_where_there_is_none():
    f = made(rosenbrock(4))
    with pytest.raises(OptionError, match=r"float64 alone"):
        NewtonCG(product_dtype="float32").init(f)


def test_earlier_products_make_later_steps_cheaper():
    """An ill-conditioned quadratic-like bowl: the preconditioner saves a fifth of the products."""
    scales = torch.logspace(0, 4, 60, dtype=torch.float64)
    x0 = torch.linspace(-1, 2, 60, dtype=torch.float64)
    spent = {}
    for size in (0, 20):
        f = problem(lambda x: (scales * (torch.cosh(x) - 1)).sum(), x0)
        state = run(NewtonCG(preconditioner=size), f, 100)
        assert state.x.abs().max() < 1e-6
        spent[size] = f.train.counts.products
    assert spent[20] < 0.8 * spent[0]
