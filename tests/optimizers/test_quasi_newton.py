"""BFGS, L-BFGS and SGD as methods: equal to each other and to torch, blind to the scale of f, resumed bitwise."""

import dataclasses

import pytest
import torch
from walks import made, problem, resumes_bitwise, walk

from hessrun.errors import OptionError, TooLargeError
from hessrun.linesearch import Armijo, LineSearch, LineSearchResult, StrongWolfe
from hessrun.objective.analytic import quadratic, rosenbrock
from hessrun.optimizers.bfgs import BFGS
from hessrun.optimizers.broyden import Broyden
from hessrun.optimizers.dfp import DFP
from hessrun.optimizers.lbfgs import LBFGS
from hessrun.optimizers.schedules import Cosine
from hessrun.optimizers.sgd import SGD
from hessrun.optimizers.ssbfgs import SSBFGS

SECOND_ORDER = [
    BFGS(),
    BFGS(block=1),
    BFGS(line_search=Armijo()),
    BFGS(low_curvature="damp"),
    DFP(line_search=StrongWolfe(c2=0.1)),
    Broyden(line_search=StrongWolfe(c2=0.1)),
    SSBFGS(),
    SSBFGS(block=3),
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
@pytest.mark.parametrize("kind", [BFGS, SSBFGS, DFP, Broyden])
def test_the_direction_is_minus_h_g_and_the_secant_equation_holds(kind, block):
    f, method = made(rosenbrock(6)), kind(block=block)
    state = method.init(f)
    for _ in range(30):
        before = state.here
        state = method.step(f, state)
        s, y = state.x - before.x, state.here.gradient - before.gradient
        H = state.memory.dense()
        eps = torch.finfo(torch.float64).eps
        bound = 1e4 * eps / max(min(1.0, state.step_size), eps**0.5)
        assert (H @ y - s).norm() <= bound * (s.norm() + H.norm() * y.norm())
        assert (H - H.T).norm() <= 1e-13 * H.norm()
        assert torch.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0
        assert (state.direction + H @ state.here.gradient).norm() <= 1e-10 * H.norm() * state.here.gradient.norm()


class Exact(LineSearch):
    """The minimiser of a quadratic along the direction."""

    def search(self, objective, start, direction, first_step):
        with objective.curvature(start.x) as curvature:
            t = -torch.dot(start.gradient, direction) / torch.dot(direction, curvature @ direction)
        return LineSearchResult(objective.evaluate(start.x + t * direction), float(t), 1, None)


@pytest.mark.parametrize("method", [BFGS(line_search=Exact()), DFP(line_search=Exact()), Broyden(line_search=Exact())])
def test_exact_search_solves_a_quadratic_in_n_steps_and_learns_its_inverse(method):
    """Nocedal & Wright, theorem 6.4."""
    f, n = made(quadratic(8, condition_number=20.0)), 8
    state, _ = walk(method, f, n)
    A = f.train.hessian(f.x0)
    assert state.here.gradient.norm() <= 1e-9 * f.train.evaluate(f.x0).gradient.norm()
    assert (state.memory.dense() @ A - torch.eye(n, dtype=torch.float64)).norm() <= 1e-7


def test_bfgs_and_dfp_walk_the_same_path_under_exact_search():
    """Dixon (1972), here on a quartic: the Wolfe search is made exact by c2 -> 0."""
    f = problem(
        lambda x: (x**4).sum() + 0.5 * (x[:-1] * x[1:]).sum() + x.pow(2).sum(), torch.tensor([1.0, -2.0, 0.5]).double()
    )
    search = StrongWolfe(c1=1e-12, c2=1e-11, max_evaluations=100)
    _, first = walk(BFGS(line_search=search), f, 6)
    _, second = walk(DFP(line_search=search), f, 6)
    assert torch.allclose(first, second, rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", [BFGS(low_curvature="damp"), BFGS(low_curvature="damp", block=2)])
def test_damping_takes_up_every_pair_and_stays_positive_definite(method):
    """Armijo's rule leaves pairs with negative curvature on a function that is concave here and there."""
    bumps = torch.linspace(-4, 5, 7, dtype=torch.float64)
    f = problem(lambda x: torch.log1p(x * x).sum() + torch.log1p((x[1:] - x[:-1] ** 2) ** 2).sum(), bumps)
    method = dataclasses.replace(method, line_search=Armijo())
    state, damped = method.init(f), 0
    for _ in range(12):
        before = state
        state = method.step(f, state)
        H = state.memory.dense()
        assert torch.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0
        assert (state.direction + H @ state.here.gradient).norm() <= 1e-9 * H.norm() * state.here.gradient.norm()
        s, y = state.learned
        assert (H @ y - s).norm() <= 1e-9 * H.norm() * y.norm()
        damped += state.damped_pairs - before.damped_pairs
    assert damped > 0
    assert state.skipped_pairs <= 1


@pytest.mark.parametrize("method", ALL)
def test_a_checkpoint_goes_on_bitwise(method):
    f = made(rosenbrock(6))
    assert resumes_bitwise(method, f, 11, 14)
    assert method.state_bytes(method.init(f)) > 0


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
        lambda: BFGS(low_curvature="damped"),
        lambda: BFGS(diagnose="yes"),
        lambda: Broyden(phi=1.5),
        lambda: Broyden(phi=-0.1),
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


@pytest.mark.parametrize("method", [BFGS(), SSBFGS(), LBFGS(), LBFGS(initial_scaling="every")])
def test_float32_slopes_may_overflow_though_no_component_does(method):
    x0 = torch.full((2,), 30.0, dtype=torch.float32)
    state, _ = walk(method, problem(lambda x: 1e20 * ((x - 3) ** 2).sum(), x0), 30)
    assert (state.x - 3).abs().max() < 1e-3


def test_a_large_block_is_counted_as_memory(monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 8 * 6 * 6 * 3)
    BFGS(block=1).init(made(rosenbrock(6)))
    with pytest.raises(TooLargeError, match="5 matrices"):
        BFGS(block=6).init(made(rosenbrock(6)))
