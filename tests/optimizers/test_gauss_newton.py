"""Levenberg-Marquardt on the Gauss-Newton matrix: dense steps, damping, scale, rounding, counts, samples."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from walks import Calls, resumes_bitwise, walk

from hessrun.errors import OptionError
from hessrun.objective import Curvature, EmpiricalRisk, as_objective
from hessrun.optimizers.gauss_newton import GaussNewton
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.problem import ProblemFacts
from hessrun.run import Budget, minimize
from hessrun.status import Status


def problem(risk, seed=0):
    return SupervisedProblem(risk, (), seed=seed, facts=ProblemFacts("net", "supervised", risk.dim, risk.n_examples))


def classes(n_examples=300, dtype=torch.float64, factor=1.0, weight_decay=1e-3, device="cpu"):
    """Three noisy classes and a small network; `factor` multiplies the whole function."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        centres = 2 * torch.randn(3, 6)
        targets = torch.randint(3, (n_examples,))
        inputs = (centres[targets] + torch.randn(n_examples, 6)).to(device=device, dtype=dtype)
        module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(device=device, dtype=dtype)

    def loss(outputs, labels):
        return factor * functional.cross_entropy(outputs, labels)

    return problem(EmpiricalRisk(module, loss, inputs, targets.to(device), weight_decay=factor * weight_decay))


def linear(loss="mse", weight_decay=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        inputs, module = torch.randn(40, 5).double(), nn.Linear(5, 2).double()
        targets = torch.randn(40, 2).double() if loss == "mse" else torch.randint(2, (40,))
    function = functional.mse_loss if loss == "mse" else functional.cross_entropy
    return problem(EmpiricalRisk(module, function, inputs, targets, weight_decay=weight_decay))


def fit(dtype=torch.float64):
    """A curve a exp(b t) + c through exact values: a least-squares problem that ends at 0."""

    class Curve(nn.Module):
        def __init__(self):
            super().__init__()
            self.abc = nn.Parameter(torch.tensor([1.0, -0.2, 0.0]))

        def forward(self, t):
            a, b, c = self.abc
            return a * torch.exp(b * t) + c

    t = torch.linspace(0, 3, 20)[:, None].to(dtype)
    return problem(EmpiricalRisk(Curve().to(dtype), functional.mse_loss, t, 2.5 * torch.exp(-1.3 * t) + 0.7))


def dense(risk, x):
    with risk.uncounted().curvature(x, kind="gauss_newton") as curvature:
        return curvature @ torch.eye(risk.dim, dtype=x.dtype)


def test_a_linear_least_squares_problem_takes_few_steps():
    f = linear()
    state, _ = walk(GaussNewton(forcing=1e-12), f, 6)
    ones = torch.cat([f.train.inputs, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    solution = torch.linalg.lstsq(ones, f.train.targets).solution.T
    expected = torch.cat([solution[:, :5].reshape(-1), solution[:, 5]])
    assert torch.allclose(state.x, expected, rtol=1e-9, atol=1e-10)


def test_a_step_is_the_damped_gauss_newton_step():
    f = classes()
    method = GaussNewton(forcing=1e-13, max_cg_iterations=400, initial_damping=0.3)
    state = method.init(f)
    for _ in range(3):
        here, mu, G = state.here, state.damping, dense(f.train, state.x)
        if mu is None:
            g = here.gradient
            mu = 0.3 * float(g @ G @ g / (g @ g))
        damped = G + mu * torch.eye(len(G), dtype=torch.float64)
        expected = torch.linalg.solve(damped, -here.gradient)
        state = method.step(f, state)
        assert state.rejected == 0
        assert torch.allclose(state.x - here.x, expected, rtol=1e-5, atol=1e-8)


def test_the_damping_returns_to_nothing_and_the_end_is_fast():
    f = fit()
    state, path = walk(GaussNewton(forcing=1e-10, initial_damping=1e-4), f, 12)
    assert state.damping == 0.0
    expected = torch.tensor([2.5, -1.3, 0.7], dtype=torch.float64)
    errors = [float((x - expected).norm()) for x in path]
    assert errors[-1] < 1e-12
    assert any(b < 100 * a * a for a, b in itertools.pairwise(errors) if 1e-7 < a < 1e-2)


def test_a_refused_trial_costs_a_gradient_and_no_product():
    f = fit()
    method = GaussNewton(initial_damping=1e-12, forcing=1e-10)
    state = method.init(f)
    refused = 0
    for _ in range(6):
        before = f.train.counts
        state = method.step(f, state)
        spent = f.train.counts - before
        assert spent.gradients == state.rejected + 1
        assert spent.products == state.cg_iterations <= 3 + (state.step == 1)
        refused += state.rejected
    assert refused > 0


def test_with_cross_entropy_it_ends_where_the_gradient_vanishes():
    f = classes()
    found = minimize(f.train, f.x0, optimizer=GaussNewton(), budget=Budget(iterations=150, gradient_tolerance=1e-4))
    assert found.status is Status.CONVERGED
    again = minimize(
        linear("cross_entropy", 1e-2).train,
        linear().x0,
        optimizer=GaussNewton(),
        budget=Budget(iterations=30, gradient_tolerance=1e-9),
    )
    assert again.status is Status.CONVERGED


@pytest.mark.parametrize("power", [-26, 26])
def test_scaling_f_by_a_power_of_two_changes_no_bit_of_x(power):
    _, plain = walk(GaussNewton(), classes(), 15)
    _, scaled = walk(GaussNewton(), classes(factor=2.0**power), 15)
    assert torch.equal(plain, scaled)


@pytest.mark.parametrize("method", [GaussNewton(), GaussNewton(batch_size=50, product_batch_size=20)])
def test_a_checkpoint_goes_on_bitwise(method):
    f = classes()
    assert resumes_bitwise(method, f, 4, 5)


def test_every_product_and_gradient_is_counted(monkeypatch):
    f = classes()
    calls, cg = Calls(f.train, monkeypatch), 0
    method = GaussNewton()
    state = method.init(f)
    for _ in range(15):
        state = method.step(f, state)
        cg += state.cg_iterations
    assert f.train.counts.products == calls.products == cg
    assert f.train.counts.gradients == calls.gradients


def test_a_loss_that_is_not_finite_further_on_is_survived():
    """sqrt of an output that must stay positive."""
    inputs = torch.linspace(0.1, 2, 30).double()[:, None]
    module = nn.Linear(1, 1).double()
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.bias.fill_(0.5)

    def loss(outputs, targets):
        return (outputs - targets * outputs.log()).mean()

    f = problem(EmpiricalRisk(module, loss, inputs, 0.05 + 0 * inputs))
    state, path = walk(GaussNewton(), f, 60)
    assert path.isfinite().all()
    assert f.train.evaluate(state.x).gradient.abs().max() < 1e-6


def test_float32_and_a_loss_without_curvature_end_in_numbers():
    f = fit(torch.float32)
    state = GaussNewton().init(f)
    for _ in range(40):
        state = GaussNewton().step(f, state)
        assert state.x.isfinite().all()
        if state.failure is not None:
            break
    assert float(state.here.value) < 1e-9
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    absolute = problem(EmpiricalRisk(nn.Linear(3, 1).double(), functional.l1_loss, inputs, inputs.sum(1, keepdim=True)))
    state = GaussNewton().init(absolute)
    start = float(state.here.value)
    for _ in range(60):
        state = GaussNewton().step(absolute, state)
    assert float(state.here.value) < 0.2 * start


def test_without_curvature_along_the_gradient_a_step_still_moves():
    """The mean of |residuals| is linear in x, so that G is 0."""
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    f = problem(EmpiricalRisk(nn.Linear(3, 1).double(), functional.l1_loss, inputs, 9 + inputs.sum(1, keepdim=True)))
    method = GaussNewton()
    state = method.init(f)
    for damping in (None, 0.0, 0.0):
        before = state.here
        state = method.step(f, replace(state, damping=damping))
        assert state.failure is None
        assert state.here.value < before.value
        assert state.step_size == pytest.approx(float((state.x - before.x).norm()))
    # Where there is no damping yet, x moves by the first radius of the trust-region methods.
    assert state.step_size == pytest.approx(max(0.01 * float(before.x.norm()), 1e-3))
    assert state.cg_iterations == 2


def test_products_that_stay_nan_end_a_run_on_batches(monkeypatch):
    f = classes()
    monkeypatch.setattr(Curvature, "__matmul__", lambda self, v: v * math.nan)
    method = GaussNewton(batch_size=50)
    state = method.init(f)
    while state.failure is None and state.step < 20:
        state = method.step(f, state)
        assert torch.equal(state.x, f.x0)
    assert (state.failure, state.step) == (Status.DIVERGED, 10)


def test_minibatches_lower_the_whole_loss_with_fewer_passes():
    f, method = classes(n_examples=600), GaussNewton(batch_size=100, product_batch_size=50)
    start = float(f.train.uncounted().evaluate(f.x0).value)
    state = method.init(f)
    assert state.evaluation is None
    for _ in range(12):
        state = method.step(f, state)
        assert state.evaluation is None
        assert state.failure is None
    sampled, spent = float(f.train.uncounted().evaluate(state.x).value), f.train.counts
    full = classes(n_examples=600)
    state = GaussNewton().init(full)
    while float(state.here.value) > sampled:
        state = GaussNewton().step(full, state)
    assert sampled < 0.3 * start
    assert spent.gradients + spent.products < full.train.counts.gradients + full.train.counts.products


def test_a_function_without_outputs_is_refused_in_a_line():
    x0 = torch.ones(2)
    f = AnalyticProblem(as_objective(lambda x: (x * x).sum(), x0), x0, ProblemFacts("f", "analytic", 2, 1))
    with pytest.raises(
        OptionError, match=r"GaussNewton needs the matrix gauss_newton, .* use optimizer=newton_cg"
    ) as raised:
        GaussNewton().init(f)
    assert "\n" not in str(raised.value)
    assert f.train.counts.gradients == 0


@pytest.mark.parametrize(
    "options",
    [
        {"initial_damping": 0.0},
        {"initial_damping": math.nan},
        {"max_trials": 0},
        {"forcing": 1.5},
        {"max_cg_iterations": 0},
        {"batch_size": 0},
        {"product_batch_size": 0},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        GaussNewton(**options)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_as_on_the_host():
    host, device = classes(), classes(device="cuda")
    _, ours = walk(GaussNewton(), host, 10)
    _, theirs = walk(GaussNewton(), device, 10)
    assert torch.allclose(ours, theirs.cpu(), rtol=1e-5, atol=1e-7)
