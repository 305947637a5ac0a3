"""Orders of convergence on sequences whose order is known."""

import numpy as np
import pytest

from hessrun.report.claims import Verdict
from hessrun.report.claims.order import bfgs_order, gradient_descent_order, newton_order


def _powers(order, first=1e-2, rows=5):
    """1, then errors of this order down from `first`."""
    errors = [1.0, first]
    while len(errors) < rows:
        errors.append(errors[-1] ** order)
    return errors


def _geometric(rate, rows=400):
    return list(rate ** np.arange(rows))


@pytest.mark.parametrize(
    ("order", "verdict"),
    [(2.0, Verdict.SUPPORTED), (1.9, Verdict.SUPPORTED), (1.3, Verdict.CONTRADICTED)],
)
def test_newtons_order_is_the_exponent_of_the_errors(make_run, groups_of, order, verdict):
    rows = 5 if order > 1.5 else 10
    runs = [make_run("newton", seed, norms=_powers(order, 0.09 + 0.001 * seed, rows)) for seed in range(6)]
    claim = newton_order(groups_of(runs))
    assert claim.verdict is verdict
    assert claim.numbers["order"] == pytest.approx(order, rel=1e-6)
    low, high = claim.interval
    assert low <= claim.numbers["order"] <= high
    assert claim.chart is not None
    assert claim.runs == tuple(sorted(run.path.name for run in runs))


def test_one_seed_has_no_interval(make_run, groups_of):
    claim = newton_order(groups_of([make_run("newton", norms=_powers(2.0, first=0.09))]))
    assert claim.verdict is Verdict.SUPPORTED
    assert claim.interval is None
    assert "in 1 run" in claim.evidence


def test_a_linear_newton_contradicts(make_run, groups_of):
    assert newton_order(groups_of([make_run("newton", norms=_geometric(0.1, 9))])).verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    "norms",
    [
        [1.0, 0.5, 0.4],  # too few
        _geometric(0.9, 20),  # never near
        _geometric(0.1, 5),  # not very near
        [1.0, 1e-3, 1e-16],  # at rounding at once
        [1.0] * 10,
    ],
)
def test_too_little_for_an_order(make_run, groups_of, norms):
    claim = newton_order(groups_of([make_run("newton", norms=norms)]))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert claim.interval is None
    assert "0 runs of Newton's method" in claim.evidence


def test_steps_that_were_not_logged_one_after_the_other_say_nothing(make_run, groups_of):
    run = make_run("newton", norms=_powers(2.0, first=0.09))
    for row in run.trace:
        row["step"] *= 2
    assert newton_order(groups_of([run])).verdict is Verdict.NOT_ENOUGH_DATA


def test_errors_at_rounding_are_left_out(make_run, groups_of):
    norms = [*_powers(2.0, first=0.09), 3e-16, 2e-16, 1e-16]
    assert newton_order(groups_of([make_run("newton", norms=norms)])).numbers["order"] == pytest.approx(2.0)


def test_no_runs_at_all():
    for test in (newton_order, gradient_descent_order, bfgs_order):
        assert test([]).verdict is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize("rate", [0.9, 0.97])
def test_gradient_descent_with_a_constant_rate_is_linear(make_run, groups_of, rate):
    claim = gradient_descent_order(groups_of([make_run("gd", norms=_geometric(rate))]))
    assert claim.verdict is Verdict.SUPPORTED
    assert claim.numbers["rate: made"] == pytest.approx(rate)
    assert claim.numbers["decay: made"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "norms",
    [
        1.0 / np.arange(1, 400) ** 2,  # sublinear
        np.concatenate([[1.0], np.exp(-(np.arange(1, 40) ** 2.0) / 50)]),  # superlinear
    ],
)
def test_gradient_descent_that_is_not_linear_contradicts(make_run, groups_of, norms):
    assert gradient_descent_order(groups_of([make_run("gd", norms=norms)])).verdict is Verdict.CONTRADICTED


def test_gradient_descent_is_judged_on_each_problem(make_run, groups_of):
    """Ten runs of one problem do not outvote the other, and no number is a median over both."""
    linear = [make_run("gd", seed, norms=_geometric(0.9 + 0.001 * seed)) for seed in range(10)]
    sublinear = [make_run("gd", norms=1.0 / np.arange(1, 400) ** 2, name=name) for name in ("two", "three")]
    claim = gradient_descent_order(groups_of([*linear, *sublinear]))
    assert claim.verdict is Verdict.CONTRADICTED
    assert "linear on 1 of 3 problems" in claim.evidence
    assert claim.numbers["rate: made"] == pytest.approx(0.9045, abs=1e-3)
    assert claim.interval is None
    alone = gradient_descent_order(groups_of(linear))
    assert alone.verdict is Verdict.SUPPORTED
    assert alone.interval is not None


def test_a_run_that_was_recorded_twice_counts_once(make_run, groups_of):
    norms = np.exp(-0.15 * np.arange(15) ** 2.0)
    plain = [make_run("bfgs", norms=norms, settings={"diagnose": False})]
    twin = [make_run("bfgs", norms=norms, settings={"diagnose": True})]
    assert bfgs_order(groups_of([*plain, *twin])).numbers["runs"] == 1


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"batch_size": 32}, {"schedule": {"_target_": "x.Cosine"}}])
def test_only_plain_gradient_descent_is_what_theory_speaks_of(make_run, groups_of, settings):
    run = make_run("gd", norms=_geometric(0.9), settings=settings)
    assert gradient_descent_order(groups_of([run])).verdict is Verdict.NOT_ENOUGH_DATA


def test_bfgs_that_gains_ever_more_is_superlinear_and_a_constant_gain_is_not(make_run, groups_of):
    superlinear = np.exp(-0.15 * np.arange(15) ** 2.0)
    assert bfgs_order(groups_of([make_run("bfgs", norms=superlinear)])).verdict is Verdict.SUPPORTED
    linear = bfgs_order(groups_of([make_run("bfgs", norms=_geometric(0.3, 25))]))
    assert linear.verdict is Verdict.CONTRADICTED
    assert linear.numbers["gain"] == pytest.approx(1.0)
    assert bfgs_order(groups_of([make_run("bfgs", norms=_geometric(0.3, 8))])).verdict is Verdict.NOT_ENOUGH_DATA
