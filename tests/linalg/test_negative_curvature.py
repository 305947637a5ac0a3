"""The search for negative curvature, against matrices whose eigenvalues are known."""

import math

import pytest
import torch

from hessrun.linalg import negative_curvature
from hessrun.linalg.negative_curvature import negative_direction

FLAT, STEEP = torch.logspace(-6, 0, 300, dtype=torch.float64), torch.linspace(0.5, 1, 300, dtype=torch.float64)


def rotated(values, dtype=torch.float64):
    n = len(values)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
    A = (Q * values) @ Q.T
    return (0.5 * (A + A.T)).to(dtype)


def look(A, *, max_products=None, precision=None):
    calls = []

    def multiply(v):
        calls.append(v)
        return A @ v

    found = negative_direction(
        multiply,
        torch.zeros(len(A), dtype=A.dtype),
        precision=torch.finfo(A.dtype).eps if precision is None else precision,
        max_products=4 * len(A) if max_products is None else max_products,
    )
    assert found.products == len(calls)
    if found.direction is not None:
        assert found.is_conclusive
        assert found.direction.norm() == pytest.approx(1.0, rel=1e-6)
        assert found.direction @ A @ found.direction < 0
    return found


def changed(values, *, zeros=0, middle=None):
    """The eigenvalues, the first of them 0 and the one in the middle another."""
    values = values.clone()
    values[:zeros] = 0
    if middle is not None:
        values[len(values) // 2] = middle
    return values


@pytest.mark.parametrize(
    ("values", "dtype", "is_negative"),
    [
        (STEEP, torch.float64, False),
        (changed(STEEP, zeros=1), torch.float64, False),
        (changed(STEEP, middle=-1e-3), torch.float64, True),
        (changed(STEEP, middle=-1e-3, zeros=140), torch.float64, True),
        (FLAT, torch.float64, False),
        (changed(FLAT, zeros=100), torch.float64, False),
        (changed(FLAT, middle=-1e-5), torch.float64, True),
        (changed(FLAT, middle=-1e-5, zeros=100), torch.float64, True),
        (STEEP, torch.float32, False),
        (FLAT, torch.float32, False),
        (changed(FLAT, zeros=100), torch.float32, False),
        (changed(FLAT, middle=-1e-2), torch.float32, True),
        (changed(FLAT, middle=-1e-2, zeros=100), torch.float32, True),
        (-STEEP, torch.float64, True),
        (0 * STEEP, torch.float64, False),
        (torch.tensor([2.0], dtype=torch.float64), torch.float64, False),
        (torch.tensor([-2.0], dtype=torch.float64), torch.float64, True),
        (torch.tensor([1.0, -1.0], dtype=torch.float64), torch.float32, True),
    ],
)
def test_it_says_whether_there_is_negative_curvature(values, dtype, is_negative):
    found = look(rotated(values, dtype))
    assert (found.direction is not None) == is_negative
    assert found.is_conclusive
    assert found.products <= len(values) + 8


def test_in_the_memory_of_three_vectors_it_takes_more_products(monkeypatch):
    A = rotated(changed(FLAT, middle=-1e-5))
    few = look(A)
    monkeypatch.setattr(negative_curvature, "_ORTHOGONAL_UP_TO", 0)
    many = look(A)
    assert many.direction is not None
    assert many.products > few.products


@pytest.mark.parametrize("middle", [-1e-5, 1e-5])
def test_too_few_products_conclude_nothing(middle):
    found = look(rotated(changed(FLAT, middle=middle)), max_products=60)
    assert (found.direction, found.products, found.is_conclusive) == (None, 60, False)


def test_what_rounding_of_the_products_explains_is_not_negative():
    A = rotated(changed(STEEP, middle=-1e-5))
    assert look(A).direction is not None
    assert look(A, precision=torch.finfo(torch.float32).eps).direction is None


@pytest.mark.parametrize("good", [0, 3, 12])
def test_products_that_are_not_finite_conclude_nothing(good):
    A, calls = rotated(FLAT), []

    def multiply(v):
        calls.append(v)
        return A @ v * (1.0 if len(calls) <= good else math.nan)

    found = negative_direction(multiply, torch.zeros(300, dtype=torch.float64), precision=1e-16, max_products=400)
    assert (found.direction, found.products, found.is_conclusive) == (None, good + 1, False)


@pytest.mark.parametrize("power", [-60, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_scale_of_the_matrix_changes_no_bit(dtype, power):
    A = rotated(changed(FLAT, middle=-1e-2), dtype)
    assert torch.equal(look(A).direction, look(2.0**power * A).direction)
