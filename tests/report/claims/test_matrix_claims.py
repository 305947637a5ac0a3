"""What made-up rows of a diagnosed BFGS say of its matrix."""

import pytest

from hessrun.report.claims import Verdict
from hessrun.report.claims.matrix import (
    bfgs_close,
    bfgs_dennis_more,
    bfgs_positive_definite,
    bfgs_secant,
    bfgs_symmetric,
)

ROWS = 9
NORMS = [10.0**-k for k in range(ROWS)]


@pytest.fixture
def diagnosed(make_run, groups_of):
    def made(column, values, *, seeds=2, norms=NORMS, **more):
        return groups_of([make_run("bfgs", s, norms=norms, columns={column: values}, **more) for s in range(seeds)])

    return made


@pytest.mark.parametrize(("test", "column"), [(bfgs_symmetric, "symmetry_error"), (bfgs_secant, "secant_residual")])
def test_residuals_at_rounding_or_not(diagnosed, test, column):
    assert test(diagnosed(column, [3e-16] * ROWS)).verdict is Verdict.SUPPORTED
    assert test(diagnosed(column, [1e-6] * ROWS)).verdict is Verdict.CONTRADICTED
    assert test(diagnosed(column, [1e-6] * ROWS, dtype="float32")).verdict is Verdict.SUPPORTED
    assert test(diagnosed("another", [1.0] * ROWS)).verdict is Verdict.NOT_ENOUGH_DATA
    assert test(diagnosed(column, [3e-16] * ROWS, seeds=1)).interval is None


def test_one_row_that_is_not_positive_definite_contradicts(diagnosed):
    column = "smallest_matrix_eigenvalue"
    assert bfgs_positive_definite(diagnosed(column, [0.5] * ROWS)).verdict is Verdict.SUPPORTED
    claim = bfgs_positive_definite(diagnosed(column, [0.5] * (ROWS - 1) + [-0.1]))
    assert claim.verdict is Verdict.CONTRADICTED
    assert "above 0 in 16 of 18 rows of 2 runs" in claim.evidence
    assert bfgs_positive_definite([]).verdict is Verdict.NOT_ENOUGH_DATA


@pytest.mark.parametrize(("test", "column"), [(bfgs_dennis_more, "direction_error"), (bfgs_close, "matrix_change")])
def test_what_falls_and_what_does_not(diagnosed, test, column):
    falling, rising = [2.0**-k for k in range(ROWS)], [2.0**k for k in range(ROWS)]
    claim = test(diagnosed(column, falling, seeds=3))
    assert claim.verdict is Verdict.SUPPORTED
    assert claim.numbers["ratio"] == pytest.approx(2.0**-6)
    assert claim.chart is not None
    assert test(diagnosed(column, rising, seeds=3)).verdict is Verdict.CONTRADICTED
    assert test(diagnosed(column, falling, seeds=2)).verdict is Verdict.NOT_ENOUGH_DATA  # two runs are too few
    far = diagnosed(column, falling, norms=[1.0] * ROWS, seeds=3)  # from any minimum
    assert test(far).verdict is Verdict.NOT_ENOUGH_DATA
    assert test(diagnosed(column, falling[:4], norms=NORMS[:4], seeds=3)).verdict is Verdict.NOT_ENOUGH_DATA


def test_a_matrix_that_changes_by_its_own_size_is_not_close_however_that_falls(diagnosed):
    large = [1e4 * 2.0**-k for k in range(ROWS)]
    assert bfgs_close(diagnosed("matrix_change", large, seeds=3)).verdict is Verdict.CONTRADICTED
    assert bfgs_dennis_more(diagnosed("direction_error", large, seeds=3)).verdict is Verdict.SUPPORTED
