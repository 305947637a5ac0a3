"""Exponents of the cost of a step on made-up clocks that grow with a known power of n."""

import numpy as np
import pytest

from hessrun.report.claims import Verdict
from hessrun.report.claims.cost import (
    bfgs_step_cost,
    lbfgs_step_cost,
    newton_impractical,
    newton_step_cost,
    seconds_per_late_step,
)


@pytest.fixture
def scale(make_run, groups_of):
    def made(optimizer, sizes, power, *, memory=2.0, seeds=6, unit=1e-9, fixed=0.0):
        return groups_of(
            [
                make_run(
                    optimizer,
                    seed,
                    losses=[1.0, 0.5, 0.4, 0.3 + 0.001 * seed],
                    seconds=(1 + 0.01 * seed) * unit * n**power + fixed,
                    state_bytes=int(n**memory),
                    n=n,
                    details={"n": n},
                )
                for n in sizes
                for seed in range(seeds)
            ]
        )

    return made


NEWTON = (1000, 2000, 4000, 6000)
BFGS = (2000, 4000, 8000, 16000)
LBFGS = (100_000, 300_000, 1_000_000)


@pytest.mark.parametrize(
    ("test", "optimizer", "sizes", "power", "verdict"),
    [
        (newton_step_cost, "newton", NEWTON, 3.0, Verdict.SUPPORTED),
        (newton_step_cost, "newton", NEWTON, 2.0, Verdict.CONTRADICTED),
        (bfgs_step_cost, "bfgs", BFGS, 2.0, Verdict.SUPPORTED),
        (bfgs_step_cost, "bfgs", BFGS, 3.0, Verdict.CONTRADICTED),
        (bfgs_step_cost, "bfgs", BFGS, 1.0, Verdict.CONTRADICTED),
        (lbfgs_step_cost, "lbfgs", LBFGS, 1.0, Verdict.SUPPORTED),
        (lbfgs_step_cost, "lbfgs", LBFGS, 2.0, Verdict.CONTRADICTED),
    ],
)
def test_the_exponent_is_the_power_of_the_clock(scale, test, optimizer, sizes, power, verdict):
    claim = test(scale(optimizer, sizes, power))
    assert claim.verdict is verdict
    assert claim.numbers["exponent"] == pytest.approx(power)
    assert claim.numbers["memory_exponent"] == pytest.approx(2.0, abs=1e-3)
    assert claim.interval == pytest.approx((power, power))


def test_one_seed_has_no_interval(scale):
    assert newton_step_cost(scale("newton", NEWTON, 3.0, seeds=1)).interval is None


@pytest.mark.parametrize("sizes", [(), (1000,), (1000, 2000), (4000, 4500, 5000)])
def test_too_few_sizes(scale, sizes):
    claim = newton_step_cost(scale("newton", sizes, 3.0))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert claim.chart is None


def test_fixed_costs_that_hide_the_order_contradict_nothing(scale):
    claim = newton_step_cost(scale("newton", (10, 30, 100), 3.0, fixed=1e-3))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert "larger n are needed" in claim.evidence


def test_only_the_top_decade_counts(scale):
    claim = bfgs_step_cost(scale("bfgs", (10, 30, 100, *BFGS), 2.0, fixed=1e-5))
    assert claim.verdict is Verdict.SUPPORTED
    assert "From n = 2,000 to 16,000" in claim.evidence


def test_problems_that_differ_in_more_than_size_make_no_series(make_run, groups_of):
    runs = [
        make_run("newton", losses=[1.0, 0.5, 0.4], n=n, details={"n": n, "condition_number": n}, seconds=1e-9 * n**3)
        for n in NEWTON
    ]
    assert newton_step_cost(groups_of(runs)).verdict is Verdict.NOT_ENOUGH_DATA


def test_newton_at_a_hundred_thousand_parameters(scale):
    slow = newton_impractical(scale("newton", NEWTON, 3.0))
    assert slow.verdict is Verdict.SUPPORTED
    assert slow.numbers["seconds_1e5"] == pytest.approx(1e-9 * 1e15, rel=0.03)
    assert slow.numbers["bytes_1e5"] == 8e10
    assert "Extrapolated as n^3.00" in slow.evidence
    assert newton_impractical(scale("newton", (10, 20, 40), 3.0)).verdict is Verdict.NOT_ENOUGH_DATA


def test_the_later_half_of_a_run_is_counted_in_steps_not_in_rows(make_run):
    """A compact record keeps few of the later rows: their step costs twice as much as an early one."""
    clock = np.cumsum([0.0, *[1.0] * 200, *[2.0] * 200])
    run = make_run("bfgs", losses=[1.0] * 401)
    for row, seconds in zip(run.trace, clock, strict=True):
        row["seconds"] = float(seconds)
    thin = make_run("bfgs", losses=[1.0] * 401)
    thin.trace[:] = [row for row in run.trace if row["step"] < 100 or row["step"] % 100 == 0]
    assert seconds_per_late_step(run) == seconds_per_late_step(thin) == 2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_newton_that_scales_well_is_called_practical(make_run, groups_of, dtype):
    runs = [make_run("newton", losses=[1.0, 0.5], n=n, details={"n": n}, seconds=1e-9 * n, dtype=dtype) for n in NEWTON]
    assert newton_impractical(groups_of(runs)).verdict is Verdict.CONTRADICTED
