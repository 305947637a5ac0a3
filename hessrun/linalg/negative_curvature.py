"""A search for a direction of negative curvature in a symmetric matrix that is known by its products alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.linalg.random import normal

Multiply = Callable[[Tensor], Tensor]

# Steps of the power method for |B|, which need to be right to a small factor alone.
_POWER_STEPS = 8
# Up to this n the residuals are kept and held orthogonal: the search then ends within n products. Beyond, it takes
# more of them, in the memory of three vectors.
_ORTHOGONAL_UP_TO = 4096


@dataclass(frozen=True)
class Look:
    """What a search saw.

    direction: v [n] of unit length with v'B v < 0, or None where none was found; products: made for it.
    is_conclusive: one was found, or in all likelihood there is none; False where the products did not suffice.
    """

    direction: Tensor | None
    products: int
    is_conclusive: bool


def negative_direction(multiply: Multiply, like: Tensor, *, precision: float, max_products: int) -> Look:
    """A direction v [n] with v'B v <= -s |v|^2, s = sqrt(eps) |B|, or word that there is none.

    Conjugate gradients on (B + s I) z = -b with a random b, of which what is negative or singular by rounding alone
    is no matter. As long as they meet no negative curvature, the part of the residual along an eigenvector of a
    negative eigenvalue grows, so that a residual of 0.01 |b| / sqrt(n) rules one out, but for a share of about 1 % of
    all b. |B| is the estimate of a few steps of the power method.

    multiply: v [n] -> B v, B symmetric; like: a vector [n] of the type and device of v; precision: eps, the relative
    rounding of a product, above 0; max_products: 1 or above.
    Source: Royer, O'Neill and Wright (2020), algorithm 3 and appendix B, on conjugate gradients from a random b.
    """
    n = len(like)
    b = normal(n, generator=torch.Generator().manual_seed(0))
    r = (b / torch.linalg.vector_norm(b)).to(like)
    norm, made = _norm(multiply, r, min(n, _POWER_STEPS, max_products))
    if norm == 0 or not math.isfinite(norm):
        return Look(None, made, is_conclusive=norm == 0)
    shift = math.sqrt(precision) * norm
    basis = r.new_empty(min(n, max_products - made), n) if n <= _ORTHOGONAL_UP_TO else None
    p, rr = -r, 1.0
    for j in range(max_products - made):
        Bp = torch.add(multiply(p), p, alpha=shift)
        curvature, pp = numbers(torch.dot(p, Bp), torch.dot(p, p))
        if not math.isfinite(curvature):
            return Look(None, made + j + 1, is_conclusive=False)
        if curvature <= 0:
            return Look(p / math.sqrt(pp), made + j + 1, is_conclusive=True)
        before, rr_before = r, rr
        r = torch.add(r, Bp, alpha=rr / curvature)
        if basis is not None and j < len(basis):
            basis[j] = before / math.sqrt(rr_before)
            r = r - (basis[: j + 1] @ r) @ basis[: j + 1]
        rr = float(torch.dot(r, r))
        if rr <= 1e-4 / n:
            return Look(None, made + j + 1, is_conclusive=True)
        p = (rr / rr_before) * p - r
    return Look(None, max_products, is_conclusive=False)


def _norm(multiply: Multiply, v: Tensor, steps: int) -> tuple[float, int]:
    """A lower bound of |B| from v [n] of unit length, and the products made; nan or inf where a product is."""
    norm = 0.0
    for made in range(1, steps + 1):
        Bv = multiply(v)
        image = float(torch.linalg.vector_norm(Bv, dtype=torch.float64))
        if image == 0 or not math.isfinite(image):
            return (norm if image == 0 else image), made
        norm, v = max(norm, image), Bv / image
    return norm, steps
