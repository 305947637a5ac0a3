"""Who is faster, of made-up runs that reach the target at known steps; pairs of quasi-Newton methods."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hessrun.report.charts import charts_over
from hessrun.report.claims import Verdict, claims_of
from hessrun.report.claims.faster import faster_by_clock, faster_by_iteration, faster_by_pass, verdict_of
from hessrun.report.claims.pairs import dfp_versus_bfgs, lbfgs_over_bfgs


def test_faster_by_iteration_and_slower_by_the_clock(race, groups_of):
    groups = groups_of([*race("gd", 40), *race("newton", 4, seconds=100.0, passes=10.0)])
    by_iteration = faster_by_iteration(groups)
    assert by_iteration.verdict is Verdict.SUPPORTED
    assert by_iteration.numbers["faster"] == 1
    assert by_iteration.numbers["ratio"] == pytest.approx(0.1, abs=0.02)
    assert faster_by_clock(groups).verdict is Verdict.CONTRADICTED
    assert faster_by_pass(groups).numbers["ratio"] == pytest.approx(1.3, abs=0.3)


def test_their_figure_is_the_one_over_all_problems_which_the_report_draws(race, groups_of):
    groups = groups_of([*race("gd", 40), *race("newton", 4)])
    drawn = {f"figures/{chart.name}.svg" for chart in charts_over(groups)}
    for claim in (faster_by_iteration(groups), faster_by_pass(groups), faster_by_clock(groups)):
        assert claim.figure in drawn
        assert claim.chart is None
    assert faster_by_iteration([]).figure is None


def test_a_method_whose_budget_ended_early_is_not_slower_by_what_it_did_not_spend(race, groups_of):
    cut = race("newton", 4)
    for run in cut:
        del run.trace[3:]  # two iterations of the four that it takes, of 100 s each
    groups = groups_of([*race("gd", 40), *cut])
    by_iteration = faster_by_iteration(groups)
    assert by_iteration.verdict is Verdict.NOT_ENOUGH_DATA
    assert by_iteration.numbers["undecided_pairs"] == 8
    assert "In 8 of 8 pairs of runs one was cut short" in by_iteration.evidence
    assert "nan" not in by_iteration.evidence
    dear = groups_of([*race("gd", 40), *[replace(run, trace=_slower(run.trace, 100.0)) for run in cut]])
    assert faster_by_clock(dear).verdict is Verdict.CONTRADICTED


def _slower(rows, factor):
    return [row | {"seconds": factor * row["seconds"]} for row in rows]


@pytest.mark.parametrize(
    ("faster", "slower", "undecided", "verdict"),
    [
        (6, 4, 0, Verdict.SUPPORTED),
        (5, 5, 0, Verdict.CONTRADICTED),
        (5, 1, 4, Verdict.NOT_ENOUGH_DATA),  # the four could make it nine
        (0, 5, 5, Verdict.CONTRADICTED),
        (0, 0, 3, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_what_is_undecided_could_tip_the_verdict(faster, slower, undecided, verdict):
    made = [(True, False)] * faster + [(False, True)] * slower + [(False, False)] * undecided
    assert verdict_of([SimpleNamespace(is_faster=f, is_slower=s) for f, s in made]) is verdict


def test_five_seeds_are_too_few(race, groups_of):
    claim = faster_by_iteration(groups_of([*race("gd", 40, seeds=5), *race("newton", 4, seeds=5)]))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert claim.interval is None
    assert "these runs hold 5" in claim.evidence


def test_seeds_that_change_nothing_are_one_observation(make_run, groups_of):
    runs = [make_run(name, s, losses=[1.0, loss, 0.1], target=0.5) for s in range(10) for name, loss in RACERS]
    claim = faster_by_iteration(groups_of(runs))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert "these runs hold 1" in claim.evidence


RACERS = (("gd", 0.9), ("newton", 0.2))


def test_unpaired_seeds_are_not_compared(race, groups_of):
    others = [run for run in race("newton", 4, seeds=16) if run.manifest["seed"] >= 8]
    claim = faster_by_iteration(groups_of([*race("gd", 40), *others]))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert "these runs hold 0" in claim.evidence


def test_misses_on_both_sides_decide_nothing(race, groups_of):
    runs = [*race("gd", 40), *race("newton", 4)]
    for run in runs:
        run.manifest["target"] = 1e-9
    claim = faster_by_iteration(groups_of(runs))
    assert claim.verdict is Verdict.NOT_ENOUGH_DATA
    assert claim.numbers["faster"] == claim.numbers["slower"] == 0


def test_many_methods_need_more_seeds_than_one(race, groups_of):
    # 8 of 8 has p = 0.0078; Holm's correction over seven methods leaves 0.055.
    names = ("newton", "newton_cg", "gauss_newton", "bfgs", "dfp", "lbfgs", "sr1")
    runs = [run for name in names for run in race(name, 4)]
    assert faster_by_iteration(groups_of([*race("gd", 40), *runs])).numbers["faster"] == 0
    assert faster_by_iteration(groups_of([*race("gd", 40), *runs[:48]])).numbers["faster"] == 6


@pytest.mark.parametrize(("dfp", "verdict"), [(30, Verdict.SUPPORTED), (3, Verdict.CONTRADICTED)])
def test_dfp_beside_bfgs(race, groups_of, dfp, verdict):
    claim = dfp_versus_bfgs(groups_of([*race("bfgs", 10), *race("dfp", dfp)]))
    assert claim.verdict is verdict
    assert claim.interval is not None
    few = dfp_versus_bfgs(groups_of([*race("bfgs", 10, seeds=3), *race("dfp", dfp, seeds=3)]))
    assert few.verdict is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(("seconds", "verdict"), [(0.1, Verdict.SUPPORTED), (5.0, Verdict.CONTRADICTED)])
def test_lbfgs_beside_bfgs(race, groups_of, seconds, verdict):
    runs = [*race("bfgs", 10, state_bytes=1000), *race("lbfgs", 12, seconds=seconds, state_bytes=100)]
    claim = lbfgs_over_bfgs(groups_of(runs))
    assert claim.verdict is verdict
    assert claim.numbers["memory"] == pytest.approx(0.1)
    assert claim.numbers["time_per_step"] == pytest.approx(seconds)
    assert claim.numbers["iterations"] == pytest.approx(1.2, abs=0.15)
    assert next(iter(claim.numbers)) == "time_to_target"  # whose interval it is
    assert claim.interval[0] <= claim.numbers["time_to_target"] <= claim.interval[1]


def test_lbfgs_without_bfgs_and_with_one_seed(race, groups_of):
    assert lbfgs_over_bfgs(groups_of(race("lbfgs", 12))).numbers == {}
    one = lbfgs_over_bfgs(groups_of([*race("bfgs", 10, seeds=1), *race("lbfgs", 12, seeds=1)]))
    assert one.verdict is Verdict.NOT_ENOUGH_DATA
    assert one.interval is None
    assert one.numbers["iterations"] > 1


def test_every_claim_stands_on_no_records_and_on_broken_ones(make_run, groups_of):
    odd = [
        make_run("gd", losses=[math.nan, math.nan], state="diverged", status="diverged"),
        make_run("newton", losses=[1.0]),
        make_run("bfgs", losses=[1.0, math.inf], state="diverged", status="diverged"),
        make_run("lbfgs", losses=[1.0, 0.0]),
        make_run("mine", losses=[0.0, 0.0]),
    ]
    for groups in ([], groups_of(odd)):
        claims = claims_of(groups)
        assert len({claim.id for claim in claims}) == len(claims)
        for claim in claims:
            assert claim.verdict is Verdict.NOT_ENOUGH_DATA, claim.id
            assert any(c.isdigit() for c in claim.evidence), claim.id
            assert claim.interval is None or all(map(math.isfinite, claim.interval))
