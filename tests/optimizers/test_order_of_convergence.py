"""Near the minimum of a strongly convex function: Newton of order 2, BFGS superlinear, gradient descent linear."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from hessrun.objective import EmpiricalRisk
from hessrun.optimizers.bfgs import BFGS
from hessrun.optimizers.newton import Newton
from hessrun.optimizers.newton_trust import NewtonTrust
from hessrun.optimizers.sgd import SGD
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.problem import ProblemFacts

L2 = 1e-2
# Errors below this share of |x*| are left out: rounding governs them.
FLOOR = 1e-11


@pytest.fixture(scope="module")
def examples():
    """60 examples of 2 features in three classes that overlap."""
    generator = np.random.default_rng(7)
    targets = np.repeat([0, 1, 2], 20)
    centres = np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    return centres[targets] + generator.standard_normal((60, 2)) * [1.0, 0.4], targets


def problem(examples):
    """Softmax regression with L2, 9 parameters, from 0."""
    inputs, targets = map(torch.from_numpy, examples)
    module = torch.nn.Linear(2, 3, dtype=torch.float64)
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    risk = EmpiricalRisk(module, cross_entropy, inputs, targets, weight_decay=L2)
    return SupervisedProblem(risk, (), seed=0, facts=ProblemFacts("softmax", "supervised", risk.dim, 60))


@pytest.fixture(scope="module")
def least(examples):
    """The minimiser and the Hessian there, by the textbook's formulas in NumPy: x is W [3, 2] by rows, then b [3]."""
    inputs, targets = examples
    design = np.column_stack([inputs, np.ones(60)])
    order = [0, 1, 3, 4, 6, 7, 2, 5, 8]  # from [W b] by rows to W by rows, then b
    theta = np.zeros(9)
    for _ in range(30):
        scores = design @ theta.reshape(3, 3).T
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = ((p - np.eye(3)[targets]).T @ design / 60).ravel() + L2 * theta
        hessian = L2 * np.eye(9)
        for a, row in zip(design, p, strict=True):
            hessian += np.kron(np.diag(row) - np.outer(row, row), np.outer(a, a)) / 60
        theta = theta - np.linalg.solve(hessian, gradient)
    assert np.abs(gradient).max() < 1e-15
    return torch.from_numpy(theta[order]), torch.from_numpy(hessian[np.ix_(order, order)])


def errors(method, problem, minimiser, steps):
    """|x_k - x*| while it is above rounding."""
    state, found = method.init(problem), []
    for _ in range(steps):
        found.append(float((state.x - minimiser).norm()))
        if found[-1] <= FLOOR * float(minimiser.norm()):
            return found[:-1]
        state = method.step(problem, state)
    return found


def test_the_minimiser_and_the_hessian_are_the_same_in_numpy(examples, least):
    made = problem(examples)
    minimiser, hessian = least
    assert made.train.evaluate(minimiser).gradient.abs().max() < 1e-15
    assert torch.allclose(made.train.hessian(minimiser), hessian, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", [Newton(), Newton(modification="shift"), NewtonTrust()])
def test_newton_converges_with_order_two(method, examples, least):
    """Nocedal & Wright, theorem 3.5: e+ <= C e^2."""
    made, (minimiser, hessian) = problem(examples), least
    e = errors(method, made, minimiser, 30)
    near = [error for error in e if error < 0.5]
    assert len(near) >= 3
    orders = [math.log(c / b) / math.log(b / a) for a, b, c in zip(near, near[1:], near[2:], strict=False)]
    assert orders[-1] >= 1.8
    # C = L |H^-1|, with L a Lipschitz constant of the Hessian: of its change along every axis at the minimum.
    change = max(
        float(torch.linalg.matrix_norm(made.train.hessian(minimiser + 1e-3 * axis) - hessian, 2)) / 1e-3
        for axis in torch.eye(9, dtype=torch.float64)
    )
    C = 3 * change / float(torch.linalg.eigvalsh(hessian)[0])
    quotients = [b / a**2 for a, b in itertools.pairwise(near)]
    assert max(quotients) <= min(C, 2 * quotients[0])


def test_bfgs_converges_superlinearly(examples, least):
    """Nocedal & Wright, theorem 6.6: e+/e -> 0; over n steps it gains more digits with every n."""
    e = errors(BFGS(), problem(examples), least[0], 200)
    rates = [math.log(e[k + 5] / e[k]) / 5 for k in range(len(e) - 5)]
    assert e[-1] < 1e-9
    assert math.exp(rates[-1]) < 0.25
    assert math.exp(rates[-1]) < 0.5 * math.exp(rates[0])


def test_gradient_descent_converges_linearly_at_the_rate_of_the_spectrum(examples, least):
    """With the step 2 / (L + mu) the rate is (kappa - 1) / (kappa + 1) (Nocedal & Wright, section 3.3)."""
    minimiser, hessian = least
    eigenvalues = torch.linalg.eigvalsh(hessian)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    kappa = largest / smallest
    e = errors(SGD(lr=2 / (smallest + largest)), problem(examples), minimiser, 4000)
    rates = [b / a for a, b in itertools.pairwise(e)]
    assert e[-1] < 1e-9
    assert rates[-1] == pytest.approx((kappa - 1) / (kappa + 1), rel=1e-4)
    # Linear and no better: the rate does not fall between the middle and the end.
    assert rates[-1] == pytest.approx(rates[len(rates) // 2], rel=1e-3)
