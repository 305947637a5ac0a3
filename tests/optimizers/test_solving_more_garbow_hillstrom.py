"""The Moré-Garbow-Hillstrom problems are solved, from near and far, and in no more evaluations than SciPy takes."""

import contextlib
import math
import warnings

import numpy as np
import pytest
import scipy.optimize
import torch

from hessrun.objective.more_garbow_hillstrom import NAMES, more_garbow_hillstrom
from hessrun.optimizers.bfgs import BFGS
from hessrun.optimizers.lbfgs import LBFGS
from hessrun.optimizers.newton import Newton
from hessrun.optimizers.newton_trust import NewtonTrust
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.problem import ProblemFacts

ITERATIONS = 400
METHODS = [BFGS(), LBFGS(), Newton(), NewtonTrust()]
RIVALS = [(BFGS(), "BFGS"), (LBFGS(), "L-BFGS-B")]
# Ten times Gulf's standard start is its minimiser, to the last bit: nothing is left to solve.
FAR = [name for name in NAMES if name != "gulf"]


def level(made, tau):
    """f <= fL + tau (f0 - fL) for a published minimum fL."""
    f0 = made.objective.evaluate(made.x0).value.item()
    return max(least + tau * (f0 - least) for least in made.minima if least < f0)


def evaluations(method, made, tau):
    """Evaluations until solved, or None; those of the step that got there are all counted."""
    goal, before = level(made, tau), made.objective.counts.gradients
    problem = AnalyticProblem(made.objective, made.x0, ProblemFacts(made.name, "analytic", len(made.x0), 1))
    state = method.init(problem)
    while state.step < ITERATIONS and state.failure is None:
        state = method.step(problem, state)
        if state.here.value.item() <= goal:
            return made.objective.counts.gradients - before
    return None


def scipy_evaluations(method, made, tau):
    """Calls of the function with its gradient until solved, or None; no tolerance of SciPy's ends the run before."""
    goal, calls, solved = level(made, tau), 0, None

    class SolvedError(Exception):
        """Ends the run."""

    def f(x):
        nonlocal calls, solved
        found = made.objective.evaluate(torch.from_numpy(np.array(x)))
        calls += 1
        if found.value.item() <= goal:
            solved = calls
            raise SolvedError
        return found.value.item(), found.gradient.numpy()

    options = {"gtol": 1e-300} if method == "BFGS" else {"gtol": 0.0, "ftol": 0.0, "maxfun": 5000}
    with contextlib.suppress(SolvedError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflow at the trials that it makes far away
        scipy.optimize.minimize(f, made.x0.numpy(), jac=True, method=method, options={"maxiter": 3000, **options})
    return solved


@pytest.mark.parametrize(("dtype", "tau"), [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_every_problem_is_solved(method, name, dtype, tau):
    """No value overflows float32 at the standard starts, so that none is left out there."""
    assert evaluations(method, more_garbow_hillstrom(name, dtype=dtype), tau) is not None


@pytest.mark.parametrize(("method", "rival"), RIVALS)
def test_the_evaluations_are_no_more_than_scipys_by_their_geometric_mean(method, rival):
    ratios = []
    for name in NAMES:
        ours = evaluations(method, more_garbow_hillstrom(name), 1e-8)
        theirs = scipy_evaluations(rival, more_garbow_hillstrom(name), 1e-8)
        if ours is not None and theirs is not None:
            ratios.append(math.log(ours / theirs))
    assert len(ratios) >= 23
    assert math.exp(sum(ratios) / len(ratios)) <= 1.0


@pytest.mark.parametrize(("method", "rival"), RIVALS)
def test_no_fewer_are_solved_than_by_scipy_from_ten_times_the_start(method, rival):
    ours = [n for n in FAR if evaluations(method, more_garbow_hillstrom(n, start_factor=10), 1e-8) is not None]
    theirs = [n for n in FAR if scipy_evaluations(rival, more_garbow_hillstrom(n, start_factor=10), 1e-8) is not None]
    assert len(ours) >= len(theirs)
    assert len(theirs) >= 15


def test_ten_times_the_start_of_gulf_is_its_minimiser():
    far = more_garbow_hillstrom("gulf", start_factor=10)
    assert far.x0.tolist() == [50, 25, 1.5]
