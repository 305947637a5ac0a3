"""Targets, pairs, rounding and the machine's drift."""

import math

import numpy as np
import pytest

from hessrun.report.comparisons import beside_cheapest, profiles_of
from hessrun.report.drift import drift, gradient_equivalents, is_concurrent, is_drifting
from hessrun.report.groups import column, grouped
from hessrun.report.numbers import baseline, median_cost, paired, paired_costs, reference, rounding_of, target_of
from hessrun.report.statistics import sign_test


def test_the_target_is_the_one_given_in_advance_where_all_runs_have_it(make_run):
    runs = [make_run("gd", s, losses=[1.0, 0.5], target=0.7) for s in range(2)]
    assert target_of(grouped(runs)[0]) == (0.7, "the target fixed in advance")
    runs[0].manifest["target"] = 0.6
    target, source = target_of(grouped(runs)[0])
    assert target == pytest.approx(0.5, rel=2e-6)
    assert source.startswith("the lowest training loss that gd reached from each of 2 seeds")


def test_a_target_at_the_minimum_is_eased_so_that_rounding_misses_nothing(make_run):
    losses = {"gd": [1.0, 0.5, 1e-16], "newton": [1.0, 3e-16, 3e-16]}
    groups = grouped([make_run(name, losses=found) for name, found in losses.items()])
    target, source = target_of(groups[0])
    assert target == pytest.approx(1e-6)
    assert "eased to 1e-06 of the first loss's height above the lowest" in source
    (found,) = beside_cheapest(groups[0], "step")
    assert found.found.ratio == 0.5


def test_else_it_is_what_the_baseline_reached_from_the_seeds_at_which_it_did_not_diverge(make_run):
    runs = [make_run("gd", s, losses=[1.0, best, 0.9], target=None) for s, best in enumerate((0.1, 0.2, 0.3))]
    lost = make_run("gd", 3, losses=[1.0, 0.8, math.nan], state="diverged", status="diverged")
    assert target_of(grouped([*runs, lost])[0]) == (
        0.3,
        "the lowest training loss that gd reached from 3 of 4 seeds",
    )


def test_without_a_baseline_it_is_the_worst_median_end_and_without_a_loss_there_is_none(make_run):
    runs = [make_run("bfgs", losses=[1.0, 0.2]), make_run("newton", losses=[1.0, 0.4])]
    assert target_of(grouped(runs)[0]) == (0.4, "the worst median final training loss")
    lost = make_run("gd", losses=[1.0, math.nan], state="diverged", status="diverged")
    assert target_of(grouped([lost])[0]) is None


def test_pairs_are_by_seed_and_alike_ones_count_once(make_run):
    gd = [make_run("gd", s, losses=[1.0 + s, 0.5]) for s in (0, 1, 2)]
    newton = [make_run("newton", s, losses=[1.0 + s, 0.1]) for s in (1, 2, 3)]
    (group,) = grouped([*gd, *newton])
    first, second = group.entries
    assert [tuple(run.manifest["seed"] for run in pair) for pair in paired(first, second)] == [(1, 1), (2, 2)]
    assert paired_costs(first, second, 0.3, "step") == ([(math.inf, 1.0)] * 2, 0)
    alike = [make_run(name, s, losses=[1.0, 0.5]) for name in ("gd", "newton") for s in range(4)]
    (group,) = grouped(alike)
    assert len(paired(*group.entries)) == 1


def test_only_comparisons_that_can_decide_are_corrected_for_their_number(make_run):
    def race(name, steps, seeds):
        return [
            make_run(name, s, losses=[1 + 0.01 * s] * steps + [0.1] * (10 - steps), target=0.2) for s in range(seeds)
        ]

    (group,) = grouped([*race("gd", 9, 8), *race("newton", 2, 8), *race("bfgs", 2, 3)])
    found = {c.mine.name: c for c in beside_cheapest(group, "step")}
    assert found["newton"].is_faster
    assert found["newton"].p == sign_test(8, 0)
    assert not found["bfgs"].is_faster


def test_profiles_are_over_the_problems_and_seeds_that_all_have(make_run):
    runs = [
        make_run(name, seed, losses=[1.0, *([0.5] * steps), 0.1], target=0.2, name=problem)
        for problem in ("one", "two")
        for name, steps in (("gd", 3), ("newton", 1))
        for seed in (0, 1)
    ]
    runs.append(make_run("gd", 0, losses=[1.0, 0.1], target=0.2, name="three"))
    found = profiles_of(grouped(runs), "step", ["gd", "newton"])
    assert found["newton"].factor.tolist() == [1.0, 2.0]
    assert found["newton"].share.tolist() == [1.0, 1.0]
    assert found["gd"].share.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("dtype", "expected"), [("float64", 2.0**-52), ("float32", 2.0**-23)])
def test_rounding_is_of_the_first_loss(make_run, dtype, expected):
    (group,) = grouped([make_run("gd", losses=[100.0, 1.0], dtype=dtype)])
    assert rounding_of(group) == pytest.approx(100 * expected)


def _timed(make_run, start, end, **manifest):
    run = make_run("gd", losses=[1.0, 0.5, 0.4], reference_gradient_seconds=start, **manifest)
    if end is not None:
        run.status["reference_gradient_seconds"] = end
    return run


@pytest.mark.parametrize(("end", "flagged"), [(0.11, False), (0.13, True), (0.07, True), (None, False)])
def test_a_drift_of_a_fifth_is_flagged_both_ways(make_run, end, flagged):
    assert is_drifting(_timed(make_run, 0.1, end)) is flagged


def test_gradient_equivalents_are_seconds_over_the_mean_reference(make_run):
    assert gradient_equivalents(_timed(make_run, 0.1, 0.3)) == pytest.approx(2 / 0.2)
    assert gradient_equivalents(_timed(make_run, 0.1, None)) == pytest.approx(20)
    older = make_run("gd", losses=[1.0, 0.5])
    assert math.isnan(gradient_equivalents(older))
    assert math.isnan(drift(older))


@pytest.mark.parametrize(("value", "said"), [(True, True), (2, True), (False, False), (1, False), (None, False)])
def test_runs_beside_others_are_flagged(make_run, value, said):
    assert is_concurrent(make_run("gd", losses=[1.0], concurrent=value)) is said


@pytest.mark.parametrize(
    ("status", "state", "known"),
    [
        ("iterations_spent", "finished", False),
        ("interrupted", "interrupted", False),
        ("stalled", "finished", True),
        ("diverged", "diverged", True),
    ],
)
def test_a_run_cut_short_before_it_spent_what_the_other_took_is_no_miss(make_run, status, state, known):
    long = [make_run("gd", s, losses=[1.0 + s, *[0.9] * 7, 0.1], target=0.2) for s in range(2)]
    short = [make_run("newton", s, losses=[1.0 + s, 0.5], target=0.2, status=status, state=state) for s in range(2)]
    (group,) = grouped([*long, *short])
    gd, newton = group.entries
    assert paired_costs(newton, gd, 0.2, "step") == (([(math.inf, 8.0)] * 2, 0) if known else ([], 2))
    assert paired_costs(gd, newton, 0.2, "step") == (([(8.0, math.inf)] * 2, 0) if known else ([], 2))
    # What it did spend is a bound: a method that took less than that is ahead.
    assert paired_costs(newton, gd, 0.95, "step")[1] == 0


def test_more_than_half_of_the_baselines_seeds_reach_its_own_target(make_run):
    for seeds in (1, 2, 3, 4, 10):
        (group,) = grouped([make_run("gd", seed, losses=[2.0, 1.0 + 0.1 * seed]) for seed in range(seeds)])
        assert math.isfinite(median_cost(group.entries[0], target_of(group)[0], "step"))


def test_one_seed_that_went_wrong_does_not_set_the_target(make_run):
    """Four seeds of five are enough; the others miss it, and count as infinite."""
    bests = [0.1, 0.11, 0.12, 0.13, 5.0]
    (group,) = grouped([make_run("gd", seed, losses=[9.0, best]) for seed, best in enumerate(bests)])
    assert target_of(group) == (0.13, "the lowest training loss that gd reached from 4 of 5 seeds")


def test_by_each_axis_methods_stand_beside_the_first_order_one_that_was_cheapest(make_run):
    """gd ended lowest and sets the target; on another axis adam may have reached it sooner."""

    def runs(name, steps, seconds, last):
        losses = [1.0, *[0.9] * (steps - 1), 0.5, last]
        return [make_run(name, s, losses=[loss + 1e-3 * s for loss in losses], seconds=seconds) for s in range(3)]

    (group,) = grouped([*runs("gd", 4, 1.0, 0.4), *runs("adam", 2, 9.0, 0.4), *runs("newton", 1, 3.0, 0.1)])
    assert baseline(group).name in ("gd", "adam")
    assert reference(group, "step").name == "adam"
    assert reference(group, "seconds").name == "gd"
    assert {c.other.name for c in beside_cheapest(group, "seconds")} == {"gd"}
    assert {c.other.name for c in beside_cheapest(group, "step")} == {"adam"}


def test_rows_without_any_count_of_passes_are_no_free_ones(make_run):
    run = make_run("gd", losses=[1.0, 0.5])
    for row in run.trace:
        for kind in ("values", "gradients", "products", "hessian_columns"):
            row.pop(kind, None)
    assert np.isnan(column(run, "passes")).all()
