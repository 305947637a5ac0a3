"""BFGS, L-BFGS and SGD as methods: equal to each other and to torch, blind to the scale of f, resumed bitwise."""

import io

import pytest
import torch

from hessrun.errors import OptionError, TooLargeError
from hessrun.linesearch import Armijo
from hessrun.objective import as_objective
from hessrun.objective.analytic import quadratic, rosenbrock
from hessrun.optimizers.bfgs import BFGS
from hessrun.optimizers.lbfgs import LBFGS
from hessrun.optimizers.schedules import Cosine
from hessrun.optimizers.sgd import SGD
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.problem import ProblemFacts


def problem(function, x0):
    return AnalyticProblem(as_objective(function, x0), x0, ProblemFacts("f", "analytic", len(x0), 1))


def made(analytic, factor=1.0):
    return problem(lambda x: factor * analytic.objective._function(x), analytic.x0)


def walk(method, problem, steps, state=None):
    state, path = method.init(problem) if state is None else state, []
    for _ in range(steps):
        state = method.step(problem, state)
        path.append(state.x)
    return state, torch.stack(path)


SECOND_ORDER = [
    BFGS(),
    BFGS(block=1),
    BFGS(line_search=Armijo()),
    LBFGS(),
    LBFGS(memory=2),
    LBFGS(initial_scaling="first"),
]
ALL = [
    *SECOND_ORDER,
    SGD(lr=1e-4),
    SGD(lr=1e-4, momentum=0.9, nesterov=True, schedule=Cosine(steps=30)),
    SGD(lr=1e-4, momentum=0.5, batch_size=1),
]


@pytest.mark.parametrize("method", SECOND_ORDER)
@pytest.mark.parametrize("analytic", [rosenbrock(4), quadratic(20)])
def test_the_minimum_is_found(method, analytic):
    state, _ = walk(method, made(analytic), 250)
    assert (state.x - analytic.minimiser).norm() < 1e-4


@pytest.mark.parametrize("method", SECOND_ORDER)
@pytest.mark.parametrize("power", [-26, 26])
def test_scaling_f_by_a_power_of_two_changes_no_bit_of_x(method, power):
    _, plain = walk(method, made(rosenbrock(6)), 40)
    _, scaled = walk(method, made(rosenbrock(6), 2.0**power), 40)
    assert torch.equal(plain, scaled)


def test_limited_memory_that_forgets_nothing_is_bfgs():
    for analytic in (rosenbrock(4), quadratic(12, condition_number=50.0)):
        _, dense = walk(BFGS(), made(analytic), 12)
        _, limited = walk(LBFGS(memory=12, initial_scaling="first"), made(analytic), 12)
        assert torch.allclose(dense, limited, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("block", [None, 1, 2, 7])
def test_the_direction_is_minus_h_g_and_the_secant_equation_holds(block):
    f, method = made(rosenbrock(6)), BFGS(block=block)
    state = method.init(f)
    for _ in range(30):
        before = state.here
        state = method.step(f, state)
        s, y = state.x - before.x, state.here.gradient - before.gradient
        H = state.memory.dense()
        eps = torch.finfo(torch.float64).eps
        bound = 1e4 * eps / max(state.step_size, eps**0.5)
        assert (H @ y - s).norm() <= bound * (s.norm() + H.norm() * y.norm())
        assert (H - H.T).norm() <= 1e-13 * H.norm()
        assert torch.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0
        assert (state.direction + H @ state.here.gradient).norm() <= 1e-10 * state.direction.norm()


@pytest.mark.parametrize("method", ALL)
def test_a_checkpoint_goes_on_bitwise(method):
    f = made(rosenbrock(6))
    _, whole = walk(method, f, 25)
    state, _ = walk(method, f, 11)
    file = io.BytesIO()
    torch.save(method.dump(state), file)
    file.seek(0)
    _, rest = walk(method, f, 14, method.load(torch.load(file, weights_only=True)))
    assert torch.equal(rest, whole[11:])
    assert method.state_bytes(state) > 0


@pytest.mark.parametrize("method", SECOND_ORDER)
def test_log_domain_never_ends_in_nan(method):
    start = torch.tensor([5.0, 50.0, 0.01, 3.0, 1e3], dtype=torch.float64)
    state, path = walk(method, problem(lambda x: (x - x.log()).sum(), start), 300)
    assert path.isfinite().all()
    assert (state.x - 1).abs().max() < 1e-3


@pytest.mark.parametrize("method", SECOND_ORDER)
def test_pairs_that_underflow_in_float32_end_in_a_status_not_a_traceback(method):
    f = problem(lambda x: (x**4).sum(), torch.full((3,), 0.5, dtype=torch.float32))
    _, path = walk(method, f, 200)
    assert path.isfinite().all()


@pytest.mark.parametrize("method", SECOND_ORDER)
def test_a_step_without_curvature_is_a_skipped_pair(method):
    f = problem(lambda x: -x.sum(), torch.ones(3, dtype=torch.float64))
    state = method.step(f, method.init(f))
    assert method.columns(state)["skipped_pairs"] == 1


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_sgd_equals_torch(options):
    f = made(rosenbrock(4))
    _, path = walk(SGD(lr=1e-4, **options), f, 30)
    x = f.x0.clone().requires_grad_()
    theirs = torch.optim.SGD([x], lr=1e-4, **options)
    for ours in path:
        theirs.zero_grad()
        rosenbrock(4).objective._function(x).backward()
        theirs.step()
        assert torch.allclose(ours, x.detach(), rtol=1e-12, atol=1e-14)


def test_a_matrix_that_does_not_fit_is_refused_at_the_start(monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 100)
    with pytest.raises(TooLargeError, match=r"BFGS at n = 4 .* Use optimizer=lbfgs instead"):
        BFGS().init(made(rosenbrock(4)))


@pytest.mark.parametrize("method", ALL)
def test_refreshing_where_nothing_changed_changes_nothing_but_the_counts(method):
    f = made(rosenbrock(4))
    state, _ = walk(method, f, 5)
    x = state.x.clone()
    assert torch.equal(method.refresh(f, state).x, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BFGS(block=0),
        lambda: BFGS(initial_scaling="yes"),
        lambda: LBFGS(memory=0),
        lambda: LBFGS(initial_scaling="evry"),
        lambda: SGD(lr=-1.0),
        lambda: SGD(lr=""),
        lambda: SGD(momentum=1.0),
        lambda: SGD(nesterov=True),
        lambda: SGD(batch_size=0),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(OptionError):
        make()
