"""Newton in a trust region and SR1: minima, saddles, domains, scale, counts, resume."""

import math

import pytest
import torch
from walks import made, problem, resumes_bitwise, walk

from hessrun.errors import OptionError, TooLargeError
from hessrun.linalg.broyden_family import symmetric_rank_one
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix
from hessrun.objective import as_objective
from hessrun.objective.analytic import quadratic, rosenbrock
from hessrun.optimizers.newton_trust import NewtonTrust
from hessrun.optimizers.sr1 import SR1
from hessrun.optimizers.trust_region import attempt, first_radius, next_radius
from hessrun.status import Status

METHODS = [NewtonTrust(), NewtonTrust(accuracy=0.01, initial_radius=10.0), SR1(), SR1(block=1), SR1(block=3)]


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("analytic", [rosenbrock(6), quadratic(20, condition_number=1e4)])
def test_the_minimum_is_found(method, analytic):
    state, _ = walk(method, made(analytic), 150)
    assert (state.x - analytic.minimiser).norm() < 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [-26, 26])
def test_scaling_f_by_a_power_of_two_changes_no_bit_of_x(method, power):
    _, plain = walk(method, made(rosenbrock(6)), 40)
    _, scaled = walk(method, made(rosenbrock(6), 2.0**power), 40)
    assert torch.equal(plain, scaled)


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_goes_on_bitwise(method):
    f = made(rosenbrock(6))
    assert resumes_bitwise(method, f, 9, 11)
    assert method.state_bytes(method.init(f)) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_log_domain_never_ends_in_nan(method, dtype):
    start = torch.tensor([5.0, 50.0, 0.01, 3.0, 1e3], dtype=dtype)
    # One component must travel a thousand while four others bound the radius.
    state, path = walk(method, problem(lambda x: (x - x.log()).sum(), start), 500 if isinstance(method, SR1) else 60)
    assert path.isfinite().all()
    assert (state.x - 1).abs().max() < 2e-3


@pytest.mark.parametrize("start", [vector(1.0, 0.0), vector(0.0, 0.0), vector(1e-12, 0.0)])
def test_newton_leaves_saddles_even_from_the_saddle_itself(start):
    f = problem(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, start)
    state, _ = walk(NewtonTrust(), f, 20)
    assert float(state.here.value) == pytest.approx(-1.0)
    assert abs(float(state.x[1])) == pytest.approx(math.sqrt(2))


def test_no_hessian_is_made_at_a_rejected_point():
    f = problem(lambda x: torch.cos(3 * x).sum() + 0.05 * (x**4).sum(), vector(0.3, 2.0, -4.0))
    method = NewtonTrust(initial_radius=50.0)
    state = method.init(f)
    rejected = 0
    for k in range(1, 9):
        state = method.step(f, state)
        rejected += state.rejected
        assert f.train.counts.hessian_columns == 3 * k
        assert f.train.counts.gradients >= 1 + k + rejected
    assert rejected > 0


def test_sr1_learns_a_quadratic_from_any_independent_steps():
    """Nocedal & Wright, theorem 6.1: B is the Hessian after n independent steps, indefinite or not."""
    n = 9
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    A = A + A.T
    for block in (1, 4, 50):
        B = QuasiNewtonMatrix.identity(torch.zeros(n, dtype=torch.float64), block=block)
        for s in torch.randn(n, n, generator=generator, dtype=torch.float64):
            r = A @ s - B.product(s)
            B.update(s, r, symmetric_rank_one(float(r @ s)))
        assert (B.dense() - A).norm() <= 1e-8 * A.norm()
        assert torch.equal(B.dense(), B.dense())


def test_every_trial_teaches_sr1_the_secant_equation():
    f, method = made(rosenbrock(6)), SR1(block=3)
    state = method.init(f)
    for _ in range(25):
        state = method.step(f, state)
        if state.learned is not None:
            s, y = state.learned
            B = state.memory.dense()
            assert (B @ s - y).norm() <= 1e-8 * (y.norm() + B.norm() * s.norm())
            assert (B - B.T).norm() <= 1e-12 * B.norm()


def test_sr1_skips_a_pair_whose_denominator_is_small():
    f = problem(lambda x: 3.0 * x[0] + 0 * (x * x).sum(), vector(1.0, 2.0))
    state = SR1().step(f, SR1().init(f))
    assert state.skipped_pairs == 1
    assert state.memory is None


def test_the_radius_follows_the_gain_ratio():
    assert next_radius(1.0, 0.1, 0.5, False) == 0.125
    assert next_radius(1.0, 0.5, 1.0, True) == 1.0
    assert next_radius(1.0, 0.9, 1.0, True) == 2.0
    assert next_radius(1.0, 0.9, 0.4, False) == 1.0
    assert next_radius(1.0, -math.inf, 1.0, True) == 0.25
    assert first_radius(vector(3.0, 4.0)) == pytest.approx(0.05)
    assert first_radius(vector(0.0, 0.0)) == 1e-3


def test_a_gain_that_is_rounding_alone_is_taken_for_agreement():
    f = as_objective(lambda x: 1e6 + (x * x).sum(), vector(1e-6))
    here = f.evaluate(vector(1e-6))
    assert attempt(f, here, vector(-1e-6), 1e-12).gain == 1.0
    assert attempt(f, here, vector(10.0), 1e-12).gain < -1
    nan = as_objective(lambda x: (x - x.log()).sum(), vector(1.0))
    assert not attempt(nan, nan.evaluate(vector(1.0)), vector(-2.0), 1.0).is_accepted


@pytest.mark.parametrize("method", [NewtonTrust(), SR1()])
def test_a_function_that_never_falls_stalls_with_its_start(method):
    start = vector(1.0, 2.0)
    f = problem(lambda x: torch.where((x == start).all(), x.sum(), x.sum() + math.inf), start)
    state = method.init(f)
    state = method.step(f, state)
    assert state.failure is Status.STALLED
    assert torch.equal(state.x, start)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NewtonTrust(initial_radius=0.0),
        lambda: NewtonTrust(accuracy=1.0),
        lambda: NewtonTrust(max_trials=0),
        lambda: SR1(skip=0.0),
        lambda: SR1(initial_radius=-1.0),
        lambda: SR1(tolerance=""),
        lambda: SR1(block=0),
        lambda: SR1(diagnose=1),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(OptionError):
        make()


@pytest.mark.parametrize("method", [NewtonTrust(), SR1()])
def test_a_matrix_that_does_not_fit_is_refused_at_the_start(method, monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 100)
    with pytest.raises(TooLargeError, match=r"at n = 4 .* Use optimizer="):
        method.init(made(rosenbrock(4)))
