"""Eigenvalues of H B^-1 against dense ones, for the matrices that the methods keep."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from known import Known
from torch import Tensor

from hessrun.curvature import preconditioned, with_preconditioned
from hessrun.errors import OptionError, TooLargeError
from hessrun.objective import Objective, as_objective
from hessrun.optimizers import BFGS, LBFGS, SR1
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.record import Spectrum


def _matrix(values: Tensor, seed: int) -> Tensor:
    n = len(values)
    Q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    H = Q * values.double() @ Q.T
    return (H + H.T) / 2


def _quadratic(H: Tensor) -> tuple[Objective, Tensor]:
    x = torch.ones(len(H), dtype=H.dtype)
    return as_objective(lambda x: 0.5 * torch.dot(x, H @ x), x), x


def _exact(H: Tensor, B: Tensor) -> np.ndarray:
    """Of the pencil H u = lambda B u, by LAPACK."""
    values: np.ndarray = scipy.linalg.eigh(H.numpy(), B.numpy(), eigvals_only=True)
    return values


@pytest.mark.parametrize("is_inverse", [True, False])
@pytest.mark.parametrize("lowest", [-2.0, 0.1])
def test_the_ends_are_those_of_the_pencil(is_inverse: bool, lowest: float) -> None:
    H, B = _matrix(torch.linspace(lowest, 5, 70), 0), _matrix(torch.logspace(-1, 1, 70), 1)
    objective, x = _quadratic(H)
    exact = _exact(H, B)
    M = Known(torch.linalg.inv(B) if is_inverse else B)
    found = preconditioned(objective, x, M, is_inverse=is_inverse, k=4, tolerance=1e-8)
    assert found is not None
    assert found.complete
    assert found.products == objective.counts.products
    size = float(np.abs(exact).max())
    np.testing.assert_allclose(found.values.numpy(), np.r_[exact[:4], exact[-4:]], rtol=0, atol=1e-7 * size)
    kept = with_preconditioned(Spectrum(step=3, n=70, kind="lanczos"), found)
    np.testing.assert_allclose(kept.preconditioned_largest, exact[::-1][:4], rtol=0, atol=1e-7 * size)
    np.testing.assert_allclose(kept.preconditioned_smallest, exact[:4], rtol=0, atol=1e-7 * size)
    if lowest > 0:
        assert kept.preconditioned_condition == pytest.approx(exact[-1] / exact[0], rel=1e-4)
    else:
        assert math.isnan(kept.preconditioned_condition)


def test_a_smaller_end_below_the_tolerance_is_no_denominator() -> None:
    """Its residual is within 1e-3 of the largest, which says nothing of 1e-6."""
    H = _matrix(torch.logspace(-6, 0, 500), 0)
    objective, x = _quadratic(H)
    found = preconditioned(objective, x, Known(torch.eye(500, dtype=torch.float64)), is_inverse=True, k=3)
    assert found is not None
    kept = with_preconditioned(Spectrum(step=0, n=500, kind="lanczos"), found)
    assert math.isnan(kept.preconditioned_condition)
    assert kept.preconditioned_largest[0] == pytest.approx(1.0, abs=1e-3)


def test_the_true_hessian_leaves_nothing_but_ones() -> None:
    H = _matrix(torch.logspace(-3, 3, 50), 0)
    objective, x = _quadratic(H)
    found = preconditioned(objective, x, Known(H), is_inverse=False, k=3, tolerance=1e-6)
    assert found is not None
    torch.testing.assert_close(found.values, torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [BFGS, LBFGS, SR1])
def test_the_matrices_of_the_methods(method: type) -> None:
    """After 12 steps on a quadratic; SR1's B is definite there."""
    H = _matrix(torch.linspace(0.5, 8, 40), 0)
    objective, x = _quadratic(H)
    problem, optimizer = AnalyticProblem(objective, x, ProblemFacts("f", "analytic", 40, 1)), method()
    state = optimizer.init(problem)
    for _ in range(12):
        state = optimizer.step(problem, state)
    known = optimizer.insight(state).approximation
    dense = known.matrix.dense()
    B = torch.linalg.inv(dense) if known.is_inverse else dense
    exact = _exact(H, (B + B.T) / 2)
    found = preconditioned(objective, x, known.matrix, is_inverse=known.is_inverse, k=3, tolerance=1e-7)
    assert found is not None
    expected = np.r_[exact[:3], exact[-3:]]
    np.testing.assert_allclose(found.values.numpy(), expected, rtol=0, atol=1e-6 * float(exact[-1]))


@pytest.mark.parametrize("is_inverse", [True, False])
def test_an_indefinite_matrix_has_no_such_spectrum(is_inverse: bool) -> None:
    objective, x = _quadratic(_matrix(torch.linspace(1, 5, 20), 0))
    M = Known(_matrix(torch.linspace(-1, 1, 20), 1))
    assert preconditioned(objective, x, M, is_inverse=is_inverse, k=2) is None
    plain = Spectrum(step=0, n=20, kind="lanczos")
    assert with_preconditioned(plain, None) is plain


def test_wrong_options_and_matrices_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, x = _quadratic(torch.eye(5, dtype=torch.float64))
    M = Known(torch.eye(5, dtype=torch.float64))
    for k in (0, 6):
        with pytest.raises(OptionError, match=f"k={k}"):
            preconditioned(objective, x, M, is_inverse=True, k=k)
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 100)
    with pytest.raises(TooLargeError, match="Use a method that keeps B"):
        preconditioned(objective, x, M, is_inverse=False, k=1)
