"""Sentences on what methods have reached at budgets that all had: few in full, many by who is below and above."""

import math

import pytest

from hessrun.report.claims.cost import _duration, _size
from hessrun.report.claims.faster import typical_words
from hessrun.report.equal_budgets import equal_budgets
from hessrun.report.numbers import baseline, contenders
from hessrun.report.words import amount_of, plural


def _said(groups_of, runs):
    (group,) = groups_of(runs)
    base = baseline(group)
    return equal_budgets(group, base, contenders(group))[0]


METHODS = ("bfgs", "dfp", "lbfgs", "newton", "newton_cg", "sr1")


def test_few_methods_have_a_clause_each(make_run, groups_of):
    runs = [make_run(name, losses=[1.0, end]) for name, end in (("gd", 0.5), ("bfgs", 0.1), ("lbfgs", 0.2))]
    said = _said(groups_of, runs)
    assert said.startswith("At 1 iteration, median training loss: bfgs 0.1, lower than the 0.5 of gd by a factor of 5;")


def test_of_many_it_is_said_who_is_below_level_and_above(make_run, groups_of):
    ends = dict(zip(METHODS, (0.1, 0.2, 0.5001, 0.9, math.inf, 0.05), strict=True))
    runs = [make_run("gd", losses=[1.0, 0.5])]
    runs += [
        make_run(name, losses=[1.0, end], state="finished" if math.isfinite(end) else "diverged")
        for name, end in ends.items()
    ]
    said = _said(groups_of, runs)
    assert said == (
        "At 1 iteration gd had a median training loss of 0.5; bfgs, dfp and sr1 were lower (0.05 to 0.2); newton was "
        "higher (0.9); lbfgs was within 0.5% of it, or at rounding as it is (0.5001); newton_cg was without a finite "
        "loss."
    )


def test_many_are_compared_over_the_seeds_in_common_and_not_by_rounding(make_run, groups_of):
    """sr1 ran where all went badly: beside gd at that seed it is lower."""
    runs = [make_run("gd", seed, losses=[1.0, 0.1 if seed == 0 else 0.9]) for seed in (0, 1, 2)]
    runs += [make_run(name, seed, losses=[1.0, 0.5]) for name in METHODS[:5] for seed in (0, 1, 2)]
    runs += [make_run("sr1", 1, losses=[1.0, 0.8])]
    assert "sr1 were lower" in _said(groups_of, runs)
    minima = {"known_minimum": 0.0, "name": "made", "n_parameters": 4, "n_examples": 10, "details": {}}
    at_rounding = [make_run("gd", losses=[1.0, 1e-30], problem=minima)]
    at_rounding += [make_run(name, losses=[1.0, 3e-29], problem=minima) for name in METHODS]
    assert "were within 0.5% of it, or at rounding as it is" in _said(groups_of, at_rounding)


@pytest.mark.parametrize(
    ("between", "words"),
    [
        ((0.5, 0.5), "0.5 times theirs"),
        ((0.4, 0.5), "between 0.4 and 0.5 times theirs"),
        ((0.5001, 0.5002), "0.5 times theirs"),
        ((0.0, 0.5), "at most 0.5 times theirs"),
        ((2.0, math.inf), "at least 2 times theirs"),
        ((math.inf, math.inf), "unbounded: most miss the target"),
        ((0.0, math.inf), "not known: the budgets of too many runs ended early"),
    ],
)
def test_a_typical_ratio_and_its_bounds(between, words):
    assert typical_words(between, "theirs") == words


def test_amounts_in_words():
    assert [_duration(t) for t in (12.0, 7200.0 * 1.6, 86400 * 57)] == ["12 s", "3.2 hours", "57 days"]
    assert [_size(b) for b in (512, 20600, 2.081e9)] == ["512 bytes", "20.6 kB", "2.08 GB"]
    assert amount_of(11_100, "iterations") == "11,100 iterations"
    assert plural(1, "spectrum", "spectra") == "1 spectrum"
    assert plural(3, "spectrum", "spectra") == "3 spectra"
