"""The statistics beside scipy, hand-made examples and properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hessrun.report.statistics import (
    compare,
    holm,
    is_faster,
    is_slower,
    median_between,
    median_interval,
    profiles,
    ratio,
    sign_test,
    slope,
)

counts = st.integers(0, 40)
costs = st.one_of(st.floats(0, 1e6), st.just(math.inf))
pairs = st.lists(st.tuples(costs, costs), max_size=12)


@given(counts, counts)
def test_sign_test_is_the_exact_binomial_one(wins, losses):
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_five_seeds_cannot_reach_five_percent_and_eight_can():
    assert sign_test(5, 0) == 0.0625
    assert sign_test(8, 0) == pytest.approx(0.0078125)


def test_holm_by_hand():
    # Holm (1979): 4 * 0.01, max(that, 3 * 0.02), max(that, 2 * 0.04), max(that, 0.05)
    assert holm([0.04, 0.01, 0.05, 0.02]) == pytest.approx([0.08, 0.04, 0.08, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_raw_values_and_bonferroni_and_keeps_their_order(p):
    adjusted = holm(p)
    for raw, corrected in zip(p, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(p) * raw) + 1e-12
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        (1, 2, 0.5),
        (math.inf, math.inf, 1.0),
        (1, math.inf, 0.0),
        (math.inf, 1, math.inf),
        (0, 0, 1.0),
        (1, 0, math.inf),
    ],
)
def test_ratios_with_misses(mine, other, expected):
    assert ratio(mine, other) == expected


@given(pairs)
def test_a_comparison_counts_each_pair_once_and_swapping_swaps_wins_and_losses(found):
    one, other = compare(found), compare([(b, a) for a, b in found])
    assert one.pairs == len(found)
    assert (one.wins, one.losses, one.ties) == (other.losses, other.wins, other.ties)
    assert one.p == other.p
    assert (one.interval is None) == (len(found) < 6)
    if one.interval is not None:
        assert one.interval[0] <= one.ratio <= one.interval[1]


@pytest.mark.parametrize(("known", "unknown"), [(0, 8), (6, 4), (9, 2), (10, 0)])
def test_pairs_of_unknown_outcome_count_against_whichever_side_leads(known, unknown):
    found = compare([(1.0, 2.0)] * known, unknown)
    assert found.pairs == known + unknown
    ways = [binomtest(known + k, known + unknown).pvalue for k in range(unknown + 1)]
    assert found.p == pytest.approx(max(ways))
    assert is_faster(found, found.p) is (unknown == 0)
    assert not is_slower(found, found.p)
    assert found.ratio == 0.5 if known > unknown else math.isnan(found.ratio)
    assert found.is_ahead is (known > unknown)
    assert not found.is_behind


def test_an_undecided_pair_leaves_bounds_that_still_tell_who_is_ahead():
    found = compare([(1.0, 10.0), (1.0, 5.0), (1.0, 4.0), (1.0, 2.0)], undecided=1)
    assert math.isnan(found.ratio)
    assert (found.low, found.high) == (0.2, 0.25)
    assert found.is_ahead
    behind = compare([(4.0, 1.0), (5.0, 1.0), (6.0, 1.0)], undecided=1)
    assert (behind.low, behind.high) == (4.5, 5.5)
    assert behind.is_behind


def test_a_median_between_bounds_has_the_widest_interval():
    middle, interval = median_between([], [])
    assert all(map(math.isnan, middle))
    assert interval is None
    assert median_between([1.0] * 4 + [0.0] * 2, [1.0] * 4 + [math.inf] * 2) == ((1.0, 1.0), (0.0, math.inf))
    values = [3.0, 1.0, 2.0, 5.0, 4.0, 7.0]
    assert median_between(values, values) == ((3.5, 3.5), median_interval(values))


def test_misses_on_both_sides_are_ties_and_nan_takes_a_pair_out():
    found = compare([(math.inf, math.inf), (1.0, math.inf), (math.nan, 1.0)])
    assert (found.wins, found.losses, found.ties) == (1, 0, 1)


@pytest.mark.parametrize(("seeds", "p", "said"), [(8, 0.05, True), (8, 0.051, False), (7, 0.01, False)])
def test_faster_takes_eight_seeds_and_a_corrected_p_of_five_percent(seeds, p, said):
    found = compare([(1.0, 2.0)] * seeds)
    assert is_faster(found, p) is said
    assert not is_faster(compare([(2.0, 1.0)] * seeds), p)


def test_the_interval_of_a_median_is_the_same_each_time_holds_it_and_needs_six_values():
    values = list(np.random.default_rng(1).normal(size=30))
    low, high = median_interval(values)
    assert (low, high) == median_interval(values[::-1])
    assert low < np.median(values) < high
    wider = median_interval(values, level=0.99)
    assert wider[0] <= low
    assert wider[1] >= high
    # From the least to the greatest of n values the true median is missed 2^(1 - n) of the time: 6.25% for five.
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0], level=0.9) is not None
    assert median_interval([2.0] * 6) == (2.0, 2.0)
    assert median_interval([1.0] + [math.inf] * 5)[1] == math.inf


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = median_interval(list(generator.normal(size=15)), resamples=400)
        hits += low <= 0 <= high
    assert 0.87 <= hits / 200 <= 0.995


def test_slope():
    assert slope([1, 2, 3], [2, 4, 6]) == pytest.approx(2)
    assert math.isnan(slope([1, 1], [2, 4]))
    assert math.isnan(slope([1], [2]))


def test_performance_profiles_by_hand():
    found = profiles({"a": [1.0, 4.0, math.inf, 1.0], "b": [2.0, 1.0, math.inf, math.nan]})
    assert found["a"].factor.tolist() == [1.0, 2.0, 4.0]
    assert found["a"].share.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])  # nobody solves the third problem
    assert found["b"].share.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    tiny = profiles({"a": [1.0, 1e-323], "b": [math.inf, 2e-313]})
    assert tiny["a"].factor.tolist() == [1.0]
    assert tiny["a"].share.tolist() == [1.0]
    assert profiles({}) == {}
    assert profiles({"a": [math.nan]}) == {}


@given(st.lists(st.tuples(costs.filter(lambda c: c > 0), costs.filter(lambda c: c > 0)), min_size=1, max_size=8))
def test_profiles_never_fall_and_somebody_is_best_where_anybody_solves(found):
    made = profiles({"a": [a for a, _ in found], "b": [b for _, b in found]})
    for profile in made.values():
        assert np.all(np.diff(profile.share) >= 0)
    solved = sum(min(pair) < math.inf for pair in found) / len(found)
    assert made["a"].share[0] + made["b"].share[0] >= solved - 1e-12
