"""Definite, singular or indefinite: told apart by Cholesky factors; stand-ins against their eigendecompositions."""

import pytest
import torch

from hessrun.linalg.cholesky import cholesky, definite_factor, is_indefinite, rounding_level
from hessrun.linalg.modified_newton import modify
from hessrun.linalg.norms import eigenvalue_bound, norm

MODIFICATIONS = ["absolute", "clip", "shift"]
DTYPES = [torch.float32, torch.float64]


def rotated(values, dtype=torch.float64, seed=0):
    n = len(values)
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    H = (Q * torch.tensor(values, dtype=torch.float64)) @ Q.T
    return (0.5 * (H + H.T)).to(dtype)


def singular(n, rank, decades, dtype, seed):
    """B B', positive semidefinite, its nonzero eigenvalues over some decades."""
    B = torch.randn(n, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    B = B * torch.logspace(0, -decades / 2, rank, dtype=torch.float64)
    return (B @ B.T).to(dtype)


def step(model, g):
    d, fine = model.solve(-g, 0.0)
    assert fine
    return d


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 10, 60])
def test_a_singular_matrix_is_neither_definite_nor_indefinite(n, dtype):
    """The plain factorisation succeeds on about half of these: it is rounding that decides."""
    lucky = 0
    for seed in range(40):
        H = singular(n, max(1, n - 1 - seed % 3), seed % 4, dtype, seed)
        lucky += cholesky(H)[1]
        assert not definite_factor(H)[1]
        assert not is_indefinite(H)
    assert lucky > 0


@pytest.mark.parametrize(
    ("H", "definite", "indefinite"),
    [
        (torch.diag(torch.tensor([1e8, 1.0])), True, False),
        (torch.diag(torch.tensor([1e30, 1.0, 1e-30], dtype=torch.float64)), True, False),
        (rotated([1e-10, 1.0, 2.0]), True, False),
        (rotated([-1e-10, 1.0, 2.0]), False, True),
        (torch.tensor([[1e20, 0.0], [0.0, -1e20]]), False, True),
        (torch.zeros(3, 3), False, False),
        (torch.tensor([[-5.0]]), False, True),
        (torch.tensor([[1e-300]], dtype=torch.float64), True, False),
    ],
)
def test_definite_and_indefinite_are_told_apart_in_any_unit(H, definite, indefinite):
    assert definite_factor(H)[1] is definite
    assert is_indefinite(H) is indefinite


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds(seed):
    H = rotated(torch.randn(9, generator=torch.Generator().manual_seed(seed)).tolist(), seed=seed)
    largest = float(torch.linalg.eigvalsh(H).abs().max())
    assert largest <= eigenvalue_bound(H) <= 3 * largest
    assert eigenvalue_bound(2.0**26 * H) == 2.0**26 * eigenvalue_bound(H)


def test_norms_stay_within_the_range_of_their_dtype():
    v = torch.tensor([3.0, 4.0])
    assert norm(1e20 * v) == pytest.approx(5e20)
    assert norm(1e-30 * v) == pytest.approx(5e-30)
    assert norm(0 * v) == 0
    assert eigenvalue_bound(1e20 * torch.eye(4)) == pytest.approx(1e20)
    assert not cholesky(torch.eye(2), 1e39)[1]


@pytest.mark.parametrize("modification", MODIFICATIONS)
def test_entries_whose_squares_overflow_have_a_stand_in(modification):
    """Their Frobenius norm in float32 is infinite, as a shift that was a share of it would be."""
    H = torch.tensor([[1e20, 0.0], [0.0, -1e20]])
    model = modify(H, modification)
    assert model.is_indefinite
    d = step(model, torch.tensor([1e20, 1e20]))
    assert d.isfinite().all()
    assert (d < 0).all()


def test_no_shift_within_the_range_of_the_dtype_is_none():
    H = torch.eye(3) - 1  # with the eigenvalue -2
    assert modify(1e38 * H, "shift") is not None
    assert modify(3e38 * H, "shift") is None


@pytest.mark.parametrize("modification", MODIFICATIONS)
def test_the_stand_in_is_the_formula(modification):
    H = rotated([-3.0, -1e-12, 0.5, 4.0])
    values, Q = torch.linalg.eigh(H)
    g = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    model = modify(H, modification)
    modified = {
        "absolute": values.abs(),
        "clip": values.clamp_min(torch.finfo(H.dtype).eps ** 0.5 * 4.0),
        "shift": values + model.shift,
    }[modification]
    assert (modified > 0).all()
    assert torch.allclose(step(model, g), -Q @ ((Q.T @ g) / modified), rtol=1e-3)
    assert model.is_indefinite
    assert abs(float(model.lowest() @ Q[:, 0])) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("modification", MODIFICATIONS)
def test_the_step_on_a_singular_hessian_is_as_short_as_the_pseudo_inverse_says(modification, dtype):
    """Its null space is left alone, whether rounding lets the factorisation succeed or not."""
    for seed in range(40):
        H = singular(6, 5, 1, dtype, seed)
        g = H @ torch.ones(6, dtype=dtype)
        model = modify(H, modification)
        assert not model.is_indefinite
        shortest = (torch.linalg.pinv(H.double(), rtol=1e-5) @ g.double()).norm()
        assert step(model, g).norm() <= 1.5 * shortest


def test_clip_raises_a_positive_eigenvalue_below_its_floor():
    H = rotated([1e-13, 1.0, 2.0])
    Q = torch.linalg.eigh(H)[1]
    assert step(modify(H, "clip"), Q[:, 0]).norm() == pytest.approx(1 / (2 * torch.finfo(H.dtype).eps ** 0.5))
    assert step(modify(H, "absolute"), Q[:, 0]).norm() > 1e12


@pytest.mark.parametrize("modification", MODIFICATIONS)
def test_a_definite_hessian_is_factorised_once_and_is_its_own_stand_in(modification, monkeypatch):
    calls = []
    plain = torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda A: calls.append(1) or plain(A))
    H = rotated([0.5, 1.0, 2.0, 9.0])
    g = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    assert torch.allclose(step(modify(H, modification), g), -torch.linalg.solve(H, g))
    assert len(calls) == 1


@pytest.mark.parametrize("modification", MODIFICATIONS)
def test_a_hessian_of_zeros_has_no_scale_and_no_step_of_its_own(modification):
    model = modify(torch.zeros(2, 2), modification)
    assert (model.scale, model.shift, model.is_indefinite) == (0.0, 0.0, False)
    v = torch.tensor([1.0, 2.0])
    assert not model.solve(v, 0.0)[1]
    assert torch.allclose(model.solve(v, 0.5)[0], 2 * v)


@pytest.mark.parametrize("modification", MODIFICATIONS)
@pytest.mark.parametrize("values", [[-3.0, 1.0, 2.0], [0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
def test_a_power_of_two_changes_no_bit_of_the_step(modification, values):
    H, g = rotated(values), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    plain = step(modify(H, modification), g)
    for factor in (2.0**-26, 2.0**26):
        assert torch.equal(step(modify(factor * H, modification), factor * g), plain)


def test_the_level_of_rounding_is_relative():
    H = rotated([1.0, 2.0])
    assert rounding_level(H, 3.0) == 10 * torch.finfo(H.dtype).eps * 3.0
