"""The trace of the Hessian by products, with the error that the random vectors leave."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import NotFiniteError
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.random import normal, signs
from hessrun.objective import Curvature, Objective
from hessrun.options import integer


@dataclass(frozen=True)
class TraceEstimate:
    """An estimate of tr(H), the sum of all eigenvalues, in their units.

    standard_error: of `value`, from the spread of the random vectors; 0 where every diagonal element was computed.
    The rounding of the products comes on top. products: applications of H.
    """

    value: float
    standard_error: float
    products: int


def trace(
    objective: Objective, x: Tensor, *, products: int = 60, seed: int = 0, kind: str = "hessian"
) -> TraceEstimate:
    """The trace of the Hessian at x [n] by Hutch++ (Meyer, Musco, Musco and Woodruff, 2021, Algorithm 1).

    tr(H) = tr(Q'HQ) + tr((I - QQ') H (I - QQ')), Q an orthonormal basis of H S for k random vectors S: the first part
    holds what the dominant eigenvectors contribute and is computed, the second is estimated by the mean of
    z'(I - QQ') H (I - QQ')z over random signs z (Hutchinson, 1990). A third of the products goes to each of H S, H Q
    and the mean. The estimate is unbiased, and exact where H has a rank of at most k = products // 3.
    products: 4 or above, and no more than n are made: from n on the diagonal itself is computed.
    The standard error comes from products - 2 k values of z: with few of them it is itself uncertain.
    seed: of the random vectors, 0 or above; they are drawn on the host. kind: one of `objective.curvature_kinds()`.
    Products are counted on `objective`: pass `objective.uncounted()` to look without being counted.
    Memory: two to three matrices [n, k].

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite, TooLargeError
    where the memory does not suffice.
    """
    integer("products", products, minimum=4)
    integer("seed", seed, minimum=0)
    n, k = objective.dim, products // 3
    if products < n:
        what = f"A trace of {products} products"
        require_matrices(3 * k / n, n, objective.dtype, objective.device, what=what, instead="fewer products")
    generator = torch.Generator().manual_seed(seed)
    with objective.curvature(x, kind=kind) as curvature:
        if products >= n:
            return TraceEstimate(float(_finite(_diagonal(curvature)).sum()), 0.0, n)
        HS = torch.empty(n, k, dtype=curvature.dtype, device=curvature.device)
        for i in range(k):
            s = normal(n, generator=generator)
            HS[:, i] = curvature @ s.to(HS)
        # Where the rank of H is below k, the columns of Q that remain are orthonormal all the same, and do no harm.
        Q = torch.linalg.qr(_finite(HS)).Q
        inside = torch.stack([_quadratic_form(curvature, q) for q in Q.unbind(1)])
        outside = []
        for _ in range(products - 2 * k):
            z = signs(n, generator).to(HS)
            z = z - Q @ (Q.T @ z)
            outside.append(_quadratic_form(curvature, z - Q @ (Q.T @ z)))
    rest = _finite(torch.stack(outside))
    value = float(_finite(inside).sum() + rest.mean())
    return TraceEstimate(value, float(rest.std()) / math.sqrt(len(rest)), products)


def _quadratic_form(curvature: Curvature, v: Tensor) -> Tensor:
    """v'Hv, in float64."""
    return torch.dot(v.double(), (curvature @ v).double())


def _diagonal(curvature: Curvature) -> Tensor:
    """[n], in float64."""
    n = curvature.shape[0]
    unit = torch.zeros(n, dtype=curvature.dtype, device=curvature.device)
    diagonal = torch.empty(n, dtype=torch.float64, device=curvature.device)
    for i in range(n):
        unit[i] = 1
        diagonal[i] = (curvature @ unit)[i]
        unit[i] = 0
    return diagonal


def _finite(numbers: Tensor) -> Tensor:
    if not bool(torch.isfinite(numbers).all()):
        raise NotFiniteError("The products with the matrix are not finite: it has no trace at this point.")
    return numbers
