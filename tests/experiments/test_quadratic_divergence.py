"""Gradient descent on a quadratic with lambda_max = 1 diverges if and only if lr > 2."""

import math
import sys

import numpy as np
import pytest

from hessrun.status import Status


def test_just_below_the_bound_it_converges(run):
    found = run("quadratic_divergence", "optimizer.lr=1.99", "budget.gradient_tolerance=1e-4")
    assert found.state == "finished"
    assert found.status["reason"] == Status.CONVERGED.sentence
    assert np.all(np.diff(found.rows["train_loss"]) < 0)


@pytest.mark.parametrize("rate", [2.0001, 2.01])
def test_just_above_the_bound_the_loss_grows_by_the_factor_that_theory_gives(run, rate):
    found = run("quadratic_divergence", f"optimizer.lr={rate}", "budget.iterations=600", "log_every=100")
    # The other directions have died out by then: (1 - lr)^2 a step remains.
    late = found.rows.set_index("step")["train_loss"].loc[300:]
    assert np.diff(np.log(late)) / 100 == pytest.approx(2 * math.log(rate - 1), rel=1e-6)


def test_at_the_bound_the_loss_neither_grows_nor_falls(run):
    """lr = 2 mirrors the top direction at each step; the loss settles at that direction's share."""
    found = run("quadratic_divergence", "optimizer.lr=2.0", "budget.iterations=600", "log_every=100")
    late = found.rows["train_loss"].to_numpy()[3:]
    assert late == pytest.approx(late[0], rel=1e-9)
    assert late[0] > 0


@pytest.mark.slow
def test_the_run_that_diverges_says_so(run):
    found = run("quadratic_divergence")
    assert found.state == "diverged"
    # From |x*|^2 / 2 or so to the largest float64 by 1.01^2 a step.
    assert len(found.trace) > 100
    assert found.trace[-1]["step"] == pytest.approx(math.log(sys.float_info.max) / (2 * math.log(1.01)), rel=0.01)


@pytest.mark.slow
def test_both_sides_of_the_bound_stand_in_one_figure(run, drawn):
    runs = [run("quadratic_divergence", f"optimizer.lr={rate}", "budget.iterations=600") for rate in (1.99, 2.01)]
    assert {"loss", "curvature"} <= drawn(*runs)
