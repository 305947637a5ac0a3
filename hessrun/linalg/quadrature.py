"""Gauss quadrature of a symmetric operator's spectrum by Lanczos: a few nodes and weights in place of all eigenvalues.

Seen from a unit vector v, H has the measure that puts the weight (q_i'v)^2 on each eigenvalue lambda_i. The Ritz values
of m Lanczos steps from v are the nodes of its Gauss rule (Golub and Welsch, 1969).

Legend: V [m, n] orthonormal rows, the first of them v; T = V H V' tridiagonal, with beta beside its diagonal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import NotFiniteError, OptionError
from hessrun.options import integer

# What is left of an image after orthogonalisation is rounding below this many eps of the largest image.
_BREAKDOWN = 100


@dataclass(frozen=True)
class Quadrature:
    """sum_j weights[j] p(nodes[j]) = v' p(H) v, for every polynomial p of degree 2 m - 1 or less.

    nodes [m], ascending; weights [m], 0 or above, of sum 1: both in float64 on the host; m products were made.
    is_exact: the space closed after m steps, so that the equality holds for every function p.
    noise: the asymmetry of the products, ||A - A'||_2 / 2 for A = V H V' as computed, in units of the eigenvalues.
    """

    nodes: Tensor
    weights: Tensor
    is_exact: bool
    noise: float


def quadrature(apply: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Quadrature:
    """The Gauss rule of H, given by v [n] -> H v [n], seen from start / |start|.

    Lanczos without restart (Golub and Van Loan, 2013, Algorithm 10.1.1), every vector orthogonalised twice against all
    before it, so that no eigenvalue appears a second time as a ghost with a share of its weight.
    start: [n], not 0; its dtype and device are those of the products. steps: 1 or above; at most n are taken, and fewer
    where the Krylov space of start closes before. Memory: a matrix [steps, n].

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite.
    """
    integer("steps", steps, minimum=1)
    length = torch.linalg.vector_norm(start) if start.ndim == 1 else torch.zeros(())
    if not 0 < float(length) < math.inf:
        raise OptionError(f"start must be a finite vector [n] other than 0; got {list(start.shape)}.")
    m, tiny = min(steps, len(start)), _BREAKDOWN * torch.finfo(start.dtype).eps
    V, upper = start.new_zeros(m, len(start)), start.new_zeros(m, m)
    V[0] = start / length
    beta: list[float] = []
    size = 0.0
    for j in range(m):
        basis, image = V[: j + 1], apply(V[j])
        coefficients = basis @ image
        upper[: j + 1, j] = coefficients
        w = image - coefficients @ basis
        w = w - (basis @ w) @ basis
        whole, left = torch.stack((torch.linalg.vector_norm(image), torch.linalg.vector_norm(w))).tolist()
        if not math.isfinite(whole):
            raise NotFiniteError("The products with the matrix are not finite: it has no density at this point.")
        size = max(size, whole)
        if not left > tiny * size:
            return _rule(upper[: j + 1, : j + 1], beta, is_exact=True)
        if j + 1 < m:
            beta.append(left)
            V[j + 1] = w / left
    return _rule(upper, beta, is_exact=m == len(start))


def _rule(upper: Tensor, beta: list[float], *, is_exact: bool) -> Quadrature:
    computed = upper.double().cpu()
    beside = torch.tensor(beta, dtype=torch.float64, device="cpu")
    theta, Y = torch.linalg.eigh(
        torch.diag(computed.diagonal()) + torch.diag(beside, 1) + torch.diag(beside, -1),
    )
    # A symmetric H would give beta above the diagonal as well, and nothing further up.
    excess = torch.triu(computed, 1) - torch.diag(beside, 1)
    noise = float(torch.linalg.matrix_norm(excess - excess.T, 2)) / 2
    return Quadrature(theta, Y[0] ** 2, is_exact, noise)
