"""Negative curvature in made-up spectra."""

import pytest

from hessrun.report.claims import Verdict
from hessrun.report.claims.indefinite import (
    condition_number_formula,
    hessian_indefinite,
    indefinite_no_minimum,
    negative_share_falls,
)

SADDLE = [-1.0, -0.5, 1.0, 4.0]
FEWER = [-0.5, 0.5, 1.0, 4.0]
DEFINITE = [0.5, 1.0, 2.0, 4.0]


@pytest.fixture
def probed(make_run, groups_of, exact):
    """Runs, one a seed, whose first and last spectrum have these eigenvalues."""

    def made(first, last, *, seeds=8, norms=(1.0, 1e-3, 1e-6), optimizers=("gd", "newton")):
        return groups_of(
            [
                make_run(name, seed, norms=norms, spectra=[exact(0, first), exact(2, last)])
                for name in optimizers
                for seed in range(seeds)
            ]
        )

    return made


def test_indefinite_at_the_start_or_not(probed):
    assert hessian_indefinite(probed(SADDLE, DEFINITE)).verdict is Verdict.SUPPORTED
    convex = hessian_indefinite(probed(DEFINITE, DEFINITE))
    assert convex.verdict is Verdict.CONTRADICTED
    assert "in 0 of 16 runs" in convex.evidence
    assert hessian_indefinite([]).verdict is Verdict.NOT_ENOUGH_DATA


def test_an_eigenvalue_within_the_noise_floor_is_not_negative(make_run, groups_of, exact):
    run = make_run("gd", losses=[1.0, 0.5], spectra=[exact(0, [-1e-9, 1.0], floor=1e-8)])
    assert hessian_indefinite(groups_of([run])).verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (SADDLE, FEWER, Verdict.SUPPORTED),
        (FEWER, SADDLE, Verdict.CONTRADICTED),
        (SADDLE, SADDLE, Verdict.CONTRADICTED),
    ],
)
def test_the_share_of_negative_eigenvalues(probed, first, last, verdict):
    claim = negative_share_falls(probed(first, last))
    assert claim.verdict is verdict
    assert "of 16 runs" in claim.evidence
    assert "of 8 starts" in claim.evidence  # the two optimizers of a seed are one observation
    assert claim.interval is not None


def test_five_starts_decide_no_share_and_one_has_no_interval(probed):
    """A sign test of five is at 6.25% at the best, of six at 3.1%."""
    assert negative_share_falls(probed(SADDLE, FEWER, seeds=5)).verdict is Verdict.NOT_ENOUGH_DATA
    assert negative_share_falls(probed(FEWER, SADDLE, seeds=5)).verdict is Verdict.NOT_ENOUGH_DATA
    assert negative_share_falls(probed(SADDLE, FEWER, seeds=6)).verdict is Verdict.SUPPORTED
    one = negative_share_falls(probed(SADDLE, FEWER, seeds=1))
    assert one.verdict is Verdict.NOT_ENOUGH_DATA
    assert one.interval is None
    assert negative_share_falls(probed(DEFINITE, DEFINITE)).numbers == {}


def test_a_start_at_a_saddle_that_ends_in_a_minimum_contradicts(probed):
    assert indefinite_no_minimum(probed(SADDLE, DEFINITE)).verdict is Verdict.CONTRADICTED
    assert indefinite_no_minimum(probed(SADDLE, SADDLE)).verdict is Verdict.SUPPORTED
    assert indefinite_no_minimum(probed(SADDLE, DEFINITE, norms=(1.0, 0.9, 0.8))).verdict is Verdict.NOT_ENOUGH_DATA
    assert indefinite_no_minimum(probed(DEFINITE, DEFINITE)).verdict is Verdict.NOT_ENOUGH_DATA


def test_a_spectrum_seen_before_the_stationary_point_says_nothing_of_it(probed):
    early = probed(SADDLE, SADDLE, norms=(1.0, 0.9, 0.8, 1e-6))  # whose last probe is at step 2
    assert indefinite_no_minimum(early).verdict is Verdict.NOT_ENOUGH_DATA


def test_the_formula_of_the_condition_number(probed):
    indefinite = condition_number_formula(probed(SADDLE, DEFINITE, seeds=1, optimizers=("gd",)))
    assert indefinite.verdict is Verdict.CONTRADICTED
    assert "In 1 of 2 exact spectra of training losses" in indefinite.evidence
    assert "lambda_max / lambda_min is negative (down to -4)" in indefinite.evidence
    assert "max |lambda| / min |lambda|" in indefinite.correction
    assert condition_number_formula(probed(DEFINITE, DEFINITE)).verdict is Verdict.SUPPORTED
    assert condition_number_formula([]).verdict is Verdict.NOT_ENOUGH_DATA
