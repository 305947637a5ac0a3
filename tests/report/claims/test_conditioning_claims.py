"""What condition numbers do to made-up runs whose iterations are a known power of it."""

import numpy as np
import pytest

from hessrun.report.claims import Verdict
from hessrun.report.claims.conditioning import (
    condition_gradient_descent,
    condition_newton,
    condition_oscillation,
    condition_second_order,
    condition_slow,
)

KAPPAS = (10.0, 100.0, 1000.0)


@pytest.fixture
def conditioned(make_run, groups_of):
    """Runs that fall to 1e-9 of the first gradient norm in `iterations(kappa)` steps, or are cut off before."""

    def made(iterations, *optimizers, kappas=KAPPAS, limit=100_000, seeds=range(6), status=lambda kappa: "converged"):
        runs = []
        for name in optimizers:
            for kappa in kappas:
                for seed in seeds:
                    steps = int(iterations(kappa)) + seed
                    norms = 10.0 ** (-9 * np.arange(steps + 1) / steps)
                    state = "diverged" if status(kappa) == "diverged" else "finished"
                    runs.append(
                        make_run(
                            name,
                            seed,
                            norms=norms[: limit + 1],
                            details={"condition_number": kappa},
                            state=state,
                            status=status(kappa),
                        )
                    )
        return groups_of(runs)

    return made


def test_iterations_that_grow_with_the_condition_number(conditioned):
    claim = condition_gradient_descent(conditioned(lambda kappa: 2 * kappa, "gd"))
    assert claim.verdict is Verdict.SUPPORTED
    assert claim.numbers["exponent"] == pytest.approx(1.0, abs=0.05)
    assert claim.interval[0] <= claim.numbers["exponent"] <= claim.interval[1]
    assert claim.chart is not None


def test_iterations_that_do_not_grow_contradict_for_gradient_descent_and_support_for_newton(conditioned):
    assert condition_gradient_descent(conditioned(lambda kappa: 50, "gd")).verdict is Verdict.CONTRADICTED
    assert condition_newton(conditioned(lambda kappa: 5, "newton")).verdict is Verdict.SUPPORTED
    assert condition_newton(conditioned(lambda kappa: 2 * kappa, "newton")).verdict is Verdict.CONTRADICTED


def test_a_miss_counts_with_the_iterations_that_were_made(conditioned):
    spent = {"status": lambda kappa: "iterations_spent" if 2 * kappa > 1000 else "converged"}
    claim = condition_gradient_descent(conditioned(lambda kappa: 2 * kappa, "gd", limit=1000, **spent))
    assert claim.verdict is Verdict.SUPPORTED
    assert "at least as kappa^" in claim.evidence
    assert "a miss at 1,000" in claim.evidence


def test_a_budget_that_ended_a_little_later_than_the_other_runs_decides_nothing(conditioned):
    spent = {"status": lambda kappa: "iterations_spent" if kappa > 500 else "converged"}
    claim = condition_newton(conditioned(lambda kappa: 100 if kappa > 500 else 20, "newton", limit=21, **spent))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert "at 1 condition number the budget ended first" in claim.evidence


def test_a_tolerance_below_the_one_that_ended_the_runs_is_no_miss(conditioned):
    claim = condition_gradient_descent(conditioned(lambda kappa: 2 * kappa, "gd", limit=1000))
    assert claim.numbers["missed"] == 0
    assert claim.numbers["tolerance"] > 1e-8


@pytest.mark.parametrize("kappas", [(10.0,), (10.0, 100.0)])
def test_too_few_condition_numbers(conditioned, kappas):
    groups = conditioned(lambda kappa: 2 * kappa, "gd", "newton", "bfgs", kappas=kappas)
    for test in (condition_gradient_descent, condition_newton, condition_second_order, condition_slow):
        assert test(groups).verdict is Verdict.NOT_ENOUGH_DATA
    assert condition_oscillation(groups).verdict is Verdict.NOT_ENOUGH_DATA


def test_one_seed_has_no_interval(conditioned):
    assert condition_gradient_descent(conditioned(lambda kappa: 2 * kappa, "gd", seeds=(0,))).interval is None


def test_second_order_methods_that_fail_where_it_is_high(conditioned):
    failing = conditioned(lambda k: 5, "newton", "bfgs", status=lambda k: "diverged" if k > 500 else "converged")
    claim = condition_second_order(failing)
    assert claim.verdict is Verdict.SUPPORTED
    assert "from 0 of 12 to 12 of 12" in claim.evidence
    assert condition_second_order(conditioned(lambda k: 5, "newton", "bfgs")).verdict is Verdict.CONTRADICTED


def test_most_methods_slowed_or_none(conditioned):
    assert condition_slow(conditioned(lambda k: k, "gd", "adam")).verdict is Verdict.SUPPORTED
    assert condition_slow(conditioned(lambda k: 20, "gd", "adam")).verdict is Verdict.CONTRADICTED
    missing = condition_slow(conditioned(lambda k: k, "gd", "adam", limit=500))
    assert "2 of which missed it" in missing.evidence


@pytest.mark.parametrize(
    ("step", "verdict"),
    [
        (lambda kappa, k: 1.0 / (k + 1) if kappa < 50 else (-0.9) ** k, Verdict.SUPPORTED),
        (lambda kappa, k: -k, Verdict.CONTRADICTED),
    ],
)
def test_steps_that_turn_back(make_run, groups_of, tmp_path, step, verdict):
    runs = []
    for kappa in (10.0, 100.0):
        run = make_run("gd", losses=[1.0] * 6, details={"condition_number": kappa}, folder=tmp_path)
        (run.path / "points").mkdir(parents=True)
        for k in range(6):
            np.savez(run.path / "points" / f"{k:06d}.npz", x=np.array([step(kappa, k), 0.0]))
        runs.append(run)
    # A longer series that kept no points does not stand in the way.
    details = [{"condition_number": kappa, "n": 7} for kappa in (10.0, 100.0, 1000.0)]
    runs.extend(make_run("gd", losses=[1.0] * 6, details=one) for one in details)
    claim = condition_oscillation(groups_of(runs))
    assert claim.verdict is verdict
    assert claim.numbers["share"] == (1.0 if verdict is Verdict.SUPPORTED else 0.0)
