"""Stochastic L-BFGS: the textbook's path, one batch a step, counted, damped, blind to scale, safe from non-finite."""

import functools
import io

import pytest
import torch
from walks import made, problem, walk

from hessrun.errors import OptionError
from hessrun.objective import as_objective
from hessrun.objective.analytic import quadratic, rosenbrock
from hessrun.optimizers.lbfgs_multibatch import LBFGSMultibatch
from hessrun.optimizers.schedules import Cosine
from hessrun.optimizers.sgd import SGD
from hessrun.problems import losses, models
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.composition import supervised
from hessrun.problems.datasets import Digits
from hessrun.problems.problem import ProblemFacts
from hessrun.status import Status

EPS = torch.finfo(torch.float64).eps
START = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)


class Alternating(AnalyticProblem):
    """The batch of step k is function k modulo their number."""

    def __init__(self, functions, x0):
        self.parts = [as_objective(function, x0) for function in functions]
        super().__init__(self.parts[0], x0, ProblemFacts("f", "analytic", len(x0), 1))

    def minibatch(self, step, size):
        return self.parts[step % len(self.parts)]


@functools.cache
def digits(seed=0):
    """1,257 examples, which batches of 256 cut into four and a ragged fifth."""
    return supervised(
        Digits(), functools.partial(models.mlp, hidden=(16,)), losses.CrossEntropy(), seed=seed, weight_decay=1e-3
    )


def bumps(x):
    """Concave here and there."""
    return torch.log1p(x * x).sum() + torch.log1p((x[1:] - x[:-1] ** 2) ** 2).sum()


@pytest.mark.parametrize("scaling", ["diagonal", "every", "first"])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_the_minimum_is_found(scaling, batch_size):
    for analytic in (quadratic(20), rosenbrock(4)):
        method = LBFGSMultibatch(initial_scaling=scaling, batch_size=batch_size)
        state, _ = walk(method, made(analytic), 250)
        assert (state.x - analytic.minimiser).norm() < 1e-4
        assert (state.evaluation is None) == method.is_stochastic


def two_loop(pairs, gamma, v):
    """Nocedal & Wright (2006), algorithm 7.4; pairs from the oldest to the newest."""
    q, kept = v.clone(), []
    for s, y in reversed(pairs):
        alpha = (s @ q) / (y @ s)
        q = q - alpha * y
        kept.append(alpha)
    r = gamma * q
    for (s, y), alpha in zip(pairs, reversed(kept), strict=True):
        r = r + s * (alpha - (y @ r) / (y @ s))
    return r


def textbook(functions, x, steps, m):
    """The method with H0 = gamma I by plain loops; B s by solving with the dense H. Yields x, and y's / s'B s."""
    pairs, gamma = [], torch.tensor(1.0).double()
    for k in range(steps):
        f = functions[k % len(functions)]
        value_and_gradient = torch.func.grad_and_value(f)
        g, value = value_and_gradient(x)
        H = torch.stack([two_loop(pairs, gamma, e) for e in torch.eye(len(x), dtype=x.dtype)])
        d = -H @ g
        t = 1.0 if pairs else 0.1 * x.norm() / d.norm()
        while not f(x + t * d) <= value + 8 * EPS * value.abs() + 1e-4 * t * g @ d:
            t = t / 2
        s, y = t * d, value_and_gradient(x + t * d)[0] - g
        x, ratio = x + s, None
        if pairs:
            Bs = torch.linalg.solve(H, s)
            theta = 1.0 if y @ s >= 0.2 * s @ Bs else 0.8 * s @ Bs / (s @ Bs - y @ s)
            y = theta * y + (1 - theta) * Bs
            ratio = (theta, float(y @ s / (s @ Bs)))
        if y @ s > EPS * s.norm() * y.norm():
            pairs, gamma = [*pairs, (s, y)][-m:], (y @ s) / (y @ y)
        yield x, ratio


@pytest.mark.parametrize("m", [3, 10])
def test_the_path_is_that_of_the_two_loop_recursion_on_damped_pairs(m):
    functions = [bumps, lambda x: bumps(x) + 0.05 * (x - 1).pow(2).sum()]
    x0, steps = torch.linspace(-4, 5, 7, dtype=torch.float64), 16
    method = LBFGSMultibatch(memory=m, initial_scaling="every", batch_size=1, max_trials=40)
    state, path = walk(method, Alternating(functions, x0), steps)
    expected, ratios = zip(*textbook(functions, x0, steps, m), strict=True)
    assert torch.allclose(path, torch.stack(expected), rtol=1e-7, atol=1e-9)
    damped = [ratio for theta, ratio in filter(None, ratios) if theta < 1]
    assert len(damped) == state.damped_pairs > 0
    assert damped == pytest.approx([0.2] * len(damped))


def test_damped_pairs_are_taken_up_with_their_curvature_and_scale_h0():
    """Checked on the memory itself: the secant equation, gamma and definiteness after each damped pair."""
    f = problem(bumps, torch.linspace(-4, 5, 7, dtype=torch.float64))
    method = LBFGSMultibatch(initial_scaling="every")
    state, seen = method.init(f), 0
    for _ in range(12):
        x, B, before = state.x, torch.linalg.inv(state.memory.dense()), state.damped_pairs
        taken = state.memory.count > 0
        state = method.step(f, state)
        s, y = state.memory.newest
        if not taken or state.damped_pairs == before:
            continue
        seen += 1
        assert torch.equal(s, state.x - x)
        assert y @ s >= 0.2 * s @ B @ s * (1 - 1e-9)
        assert state.memory.gamma == pytest.approx(float(y @ s / (y @ y)))
        H = state.memory.dense()
        assert torch.allclose(H @ y, s, rtol=1e-9)
        assert torch.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0
    assert seen > 0


@pytest.mark.parametrize("power", [-26, 26])
@pytest.mark.parametrize("scaling", ["diagonal", "every"])
def test_scaling_f_by_a_power_of_two_changes_no_bit_of_x(power, scaling):
    method = LBFGSMultibatch(initial_scaling=scaling, batch_size=1, lr=0.5)

    def functions(factor):
        return [lambda x: factor * rosenbrock(6).objective._function(x), lambda x: factor * bumps(x)]

    x0 = rosenbrock(6).x0
    _, plain = walk(method, Alternating(functions(1.0), x0), 40)
    state, scaled = walk(method, Alternating(functions(2.0**power), x0), 40)
    assert torch.equal(plain, scaled)
    assert state.damped_pairs > 0


def test_a_step_takes_two_gradients_of_its_own_batch_and_the_pair_is_their_difference():
    f, method = digits(), LBFGSMultibatch(batch_size=256)
    state = method.init(f)
    assert f.facts.n_examples == 1257
    for step in range(12):
        x, before, batch = state.x, f.train.counts, f.minibatch(step, 256)
        state = method.step(f, state)
        spent = f.train.counts - before
        assert spent.gradients * 1257 == pytest.approx((1 + state.trials) * batch.n_batch)
        assert spent.values == spent.products == spent.hessian_columns == 0
        here, there = batch.uncounted().evaluate(x), batch.uncounted().evaluate(state.x)
        assert state.damped_pairs == 0
        s, y = state.memory.newest
        assert torch.equal(s, state.x - x)
        assert torch.equal(y, there.gradient - here.gradient)
    assert state.trials == 1


def test_an_epoch_whose_first_trials_hold_costs_two_passes():
    f, method = digits(), LBFGSMultibatch(batch_size=256)
    before = f.train.counts
    state, trials = method.init(f), []
    for _ in range(5):
        state = method.step(f, state)
        trials.append(state.trials)
    assert trials == [1] * 5
    assert (f.train.counts - before).gradients == 2.0


def test_the_whole_split_costs_one_gradient_a_step():
    f, method = digits(), LBFGSMultibatch()
    before = f.train.counts
    state, trials = method.init(f), 0
    for _ in range(10):
        state = method.step(f, state)
        trials += state.trials
    assert (f.train.counts - before).gradients == 1 + trials
    assert torch.equal(state.here.gradient, f.train.uncounted().evaluate(state.x).gradient)


def test_the_first_steps_move_x_by_a_tenth_and_the_last_batch_of_an_epoch_by_its_share():
    f, method = digits(), LBFGSMultibatch(batch_size=256, lr=0.5)
    state = method.step(f, method.init(f))
    assert (state.x - f.x0).norm() == pytest.approx(0.05 * float(f.x0.norm()))
    state = method.step(f, state)
    assert state.step_size == 0.5
    for _ in range(3):
        state = method.step(f, state)
    assert state.trials == 1
    assert state.step_size == 0.5 * (1257 - 4 * 256) / 256


@pytest.mark.parametrize("method", [LBFGSMultibatch(batch_size=200), LBFGSMultibatch(memory=3)])
def test_a_checkpoint_goes_on_bitwise_and_the_seed_decides_the_path(method):
    _, whole = walk(method, digits(), 23)
    state, _ = walk(method, digits(), 11)
    file = io.BytesIO()
    torch.save(method.dump(state), file)
    file.seek(0)
    _, rest = walk(method, digits(), 12, method.load(torch.load(file, weights_only=True)))
    assert torch.equal(rest, whole[11:])
    _, again = walk(method, digits.__wrapped__(), 23)
    assert torch.equal(again, whole)
    _, other = walk(method, digits(1), 1)
    assert not torch.equal(other[0], whole[0])
    assert method.state_bytes(state) >= state.memory.pairs.nbytes


def nowhere(x):
    return (x * float("nan")).sum()


def parabola(x):
    return 0.5 * (x * x * torch.tensor([1.0, 3.0, 9.0], dtype=x.dtype)).sum()


def test_log_domain_never_ends_in_nan():
    start = torch.tensor([5.0, 50.0, 0.01, 3.0, 1e3], dtype=torch.float64)
    functions = [lambda x: (x - x.log()).sum(), lambda x: (2 * x - x.log() - x[:2].log().sum()).sum()]
    _, path = walk(LBFGSMultibatch(batch_size=1), Alternating(functions, start), 300)
    assert path.isfinite().all()
    state, path = walk(LBFGSMultibatch(), problem(functions[0], start), 300)
    assert path.isfinite().all()
    assert (state.x - 1).abs().max() < 1e-3


@pytest.mark.parametrize("edge", [float("inf"), float("nan")])
def test_trials_that_are_not_finite_are_refused_and_shortened_tenfold(edge):
    def walled(x):
        return torch.where((x - START).norm() > 0.05, torch.full_like(x[0], edge), parabola(x))

    method = LBFGSMultibatch(batch_size=1)
    state = method.step(problem(walled, START), method.init(problem(walled, START)))
    assert state.trials == 2
    assert (state.x - START).norm() == pytest.approx(0.01 * float(START.norm()))


def test_a_batch_that_is_not_finite_is_passed_over_and_keeps_the_memory():
    f, method = Alternating([parabola, parabola, nowhere], START), LBFGSMultibatch(batch_size=1)
    state, _ = walk(method, f, 2)
    x, count = state.x, state.memory.count
    state = method.step(f, state)
    assert torch.equal(state.x, x)
    assert (state.memory.count, state.restarts, state.failed_steps, state.failure) == (count, 0, 1, None)
    assert state.memory.pairs.isfinite().all()
    state, _ = walk(method, f, 20, state)
    assert (state.failed_in_a_row, state.failed_steps) == (0, 7)
    assert state.x.norm() < 1e-6


def test_ten_batches_without_a_step_end_a_run_and_the_whole_split_at_once():
    f, method = problem(nowhere, START), LBFGSMultibatch(batch_size=1)
    state, path = walk(method, f, 9)
    assert state.failure is None
    assert method.step(f, state).failure is Status.DIVERGED
    assert torch.equal(path, START.expand(9, 3))
    method = LBFGSMultibatch()
    assert method.step(f, method.init(f)).failure is Status.DIVERGED


def test_a_memory_that_leads_nowhere_is_dropped_within_the_step():
    """It has learnt a curvature a million times lower than that of the next batch, and one trial is allowed."""
    f = Alternating([lambda x: 1e-3 * parabola(x), lambda x: 1e-3 * parabola(x), lambda x: 1e3 * parabola(x)], START)
    method = LBFGSMultibatch(batch_size=1, max_trials=1)
    state, _ = walk(method, f, 2)
    x = state.x
    state = method.step(f, state)
    assert (state.restarts, state.trials, state.memory.count) == (1, 2, 1)
    assert (state.x - x).norm() == pytest.approx(0.1 * float(x.norm()))


def test_where_no_trial_holds_x_stays_and_the_status_says_so():
    def kink(x):  # its derivative at the minimum is 1 by decree
        return x.abs().sum() + (x - x.detach()).sum()

    f = problem(kink, torch.zeros(3, dtype=torch.float64))
    method = LBFGSMultibatch()
    state = method.step(f, method.init(f))
    assert state.failure is Status.LINE_SEARCH_FAILED
    assert torch.equal(state.x, f.x0)


def test_at_a_stationary_point_a_batch_waits_and_the_whole_split_stalls():
    f = problem(parabola, torch.zeros(3, dtype=torch.float64))
    for method, status in ((LBFGSMultibatch(batch_size=1), None), (LBFGSMultibatch(), Status.STALLED)):
        state = method.step(f, method.init(f))
        assert state.failure is status
        assert (state.step_size, state.failed_steps) == (0.0, 0)
        assert torch.equal(state.x, f.x0)


def test_a_step_without_curvature_is_a_skipped_pair():
    f, method = problem(lambda x: -x.sum(), START), LBFGSMultibatch()
    state = method.step(f, method.init(f))
    assert method.columns(state) == {
        "skipped_pairs": 1,
        "damped_pairs": 0,
        "restarts": 0,
        "trials": 1,
        "failed_steps": 0,
    }
    assert method.insight(state).approximation.learned is None


def test_at_the_end_of_a_schedule_nothing_is_evaluated():
    f, method = digits(), LBFGSMultibatch(batch_size=256, schedule=Cosine(steps=3))
    state, _ = walk(method, f, 3)
    before, x = f.train.counts, state.x
    state = method.step(f, state)
    assert f.train.counts == before
    assert (state.step, state.step_size) == (4, 0.0)
    assert torch.equal(state.x, x)


def test_pairs_that_underflow_in_float32_end_in_a_status_not_a_traceback():
    f = problem(lambda x: (x**4).sum(), torch.full((3,), 0.5, dtype=torch.float32))
    _, path = walk(LBFGSMultibatch(batch_size=1), f, 200)
    assert path.isfinite().all()


def loss_after(method, problem, passes):
    """Of the whole training split, once so many passes are spent."""
    before, state = problem.train.counts, method.init(problem)
    while (problem.train.counts - before).gradients < passes:
        state = method.step(problem, state)
    return float(problem.train.uncounted().evaluate(state.x).value)


@pytest.mark.parametrize("seed", [0, 1])
def test_early_passes_buy_more_than_those_of_gradient_descent_on_the_same_batches(seed):
    """Of plain gradient descent at whichever of four rates, and with the rate and momentum that ship."""
    f = digits(seed)
    theirs = [SGD(lr=lr, batch_size=256) for lr in (0.1, 0.3, 1.0, 3.0)] + [SGD(momentum=0.9, batch_size=256)]
    assert loss_after(LBFGSMultibatch(batch_size=256), f, 5) < min(loss_after(method, f, 5) for method in theirs)


def test_the_approximation_is_that_of_the_next_direction():
    f, method = made(rosenbrock(4)), LBFGSMultibatch()
    state, _ = walk(method, f, 6)
    found = method.insight(state).approximation
    assert found.is_inverse
    s, y = found.learned
    assert torch.allclose(found.matrix.product(y), s)
    x, expected = state.x.clone(), -found.matrix.product(state.here.gradient)
    state = method.step(f, state)
    assert torch.allclose(state.x - x, state.step_size * expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.cuda
def test_it_walks_the_same_path_on_cuda():
    method = LBFGSMultibatch(batch_size=256)
    _, expected = walk(method, digits(), 8)
    model = functools.partial(models.mlp, hidden=(16,))
    f = supervised(Digits(), model, losses.CrossEntropy(), weight_decay=1e-3, device="cuda")
    _, path = walk(method, f, 8)
    assert torch.allclose(path.cpu(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0},
        {"lr": ""},
        {"max_trials": 0},
        {"memory": 0},
        {"memory": 2.5},
        {"initial_scaling": "evry"},
        {"batch_size": 0},
        {"batch_size": True},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        LBFGSMultibatch(**options)
