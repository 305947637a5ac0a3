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
from hessrun.linalg.host import numbers
from hessrun.options import integer

# What is left of an image after orthogonalisation is rounding below this many eps of the largest image.
_BREAKDOWN = 100


@dataclass(frozen=True)
class Quadrature:
    """sum_j weights[j] p(nodes[j]) = v' p(H) v, for every polynomial p of degree 2 m - 1 or less.

    nodes [m], ascending; weights [m], 0 or above, of sum 1: both in float64 on the host; m products were made.
    is_exact: the space closed after m steps, so that the equality holds for every function p.
    noise: the asymmetry of the products, ||A - A'||_2 / 2 for A = V H V' as computed, in units of the eigenvalues.
    basis: V [m, n], its first row the unit vector v; modes [m, m], float64 on the host: V' modes[:, j] is the Ritz
    vector of node j, and residuals[j] the length of H times it less nodes[j] times it, in units of the eigenvalues.
    """

    nodes: Tensor
    weights: Tensor
    is_exact: bool
    noise: float
    basis: Tensor
    modes: Tensor
    residuals: Tensor


def quadrature(apply: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Quadrature:
    """The Gauss rule of H, given by v [n] -> H v [n], seen from start / |start|.

    Lanczos without restart (Golub and Van Loan, 2013, Algorithm 10.1.1), every vector orthogonalised twice against all
    before it, so that no eigenvalue appears a second time as a ghost with a share of its weight.
    start: [n], not 0; its dtype and device are those of the products. steps: 1 or above; at most n are taken, and fewer
    where the Krylov space of start closes before. Memory: a matrix [steps, n].

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite.
    """
    if start.ndim != 1:
        raise OptionError(f"start must be a finite vector [n] other than 0; got {list(start.shape)}.")
    return quadratures(lambda V: apply(V[:, 0])[:, None], start[:, None], steps)[0]


def quadratures(apply: Callable[[Tensor], Tensor], starts: Tensor, steps: int) -> list[Quadrature]:
    """The Gauss rules seen from each column of starts [n, p], in lock-step: apply is given blocks V [n, q], q <= p.

    Each is that of `quadrature`; they are independent of each other, and share the calls of H alone. A process whose
    space closed leaves the blocks. Memory: p matrices [steps, n].

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite.
    """
    integer("steps", steps, minimum=1)
    runs = [_Process(start, min(steps, len(start))) for start in starts.unbind(1)]
    while going := [run for run in runs if not run.is_over]:
        images = apply(torch.stack([run.newest for run in going], dim=1))
        for run, image in zip(going, images.unbind(1), strict=True):
            run.take(image)
    return [run.rule() for run in runs]


class _Process:
    """One Lanczos process: its vectors so far, and the coefficients of their images."""

    def __init__(self, start: Tensor, m: int) -> None:
        length = torch.linalg.vector_norm(start)
        if not 0 < float(length) < math.inf:
            raise OptionError(f"start must be a finite vector [n] other than 0; got {list(start.shape)}.")
        self._V, self._upper = start.new_zeros(m, len(start)), start.new_zeros(m, m)
        self._V[0] = start / length
        self._beta: list[float] = []
        self._size, self._j, self._left = 0.0, 0, 0.0
        self.is_over = self._is_closed = False

    @property
    def newest(self) -> Tensor:
        return self._V[self._j]

    def take(self, image: Tensor) -> None:
        """One step, from the image of the newest vector."""
        j, m = self._j, len(self._V)
        basis = self._V[: j + 1]
        coefficients = basis @ image
        self._upper[: j + 1, j] = coefficients
        w = image - coefficients @ basis
        w = w - (basis @ w) @ basis
        whole, left = numbers(torch.linalg.vector_norm(image), torch.linalg.vector_norm(w))
        if not math.isfinite(whole):
            raise NotFiniteError("The products with the matrix are not finite: it has no density at this point.")
        self._size, self._j, self._left = max(self._size, whole), j + 1, left
        if not left > _BREAKDOWN * torch.finfo(image.dtype).eps * self._size:
            self.is_over = self._is_closed = True
        elif j + 1 == m:
            self.is_over = True
        else:
            self._beta.append(left)
            self._V[j + 1] = w / left

    def rule(self) -> Quadrature:
        j = self._j
        theta, Y = torch.linalg.eigh(_tridiagonal(self._upper[:j, :j].diagonal(), self._beta))
        return Quadrature(
            theta,
            Y[0] ** 2,
            is_exact=self._is_closed or j == self._V.shape[1],
            noise=_asymmetry(self._upper[:j, :j], self._beta),
            basis=self._V[:j],
            modes=Y,
            residuals=self._left * Y[-1].abs(),
        )


def _tridiagonal(alpha: Tensor, beta: list[float]) -> Tensor:
    beside = torch.tensor(beta, dtype=torch.float64, device="cpu")
    return torch.diag(alpha.double().cpu()) + torch.diag(beside, 1) + torch.diag(beside, -1)


def _asymmetry(upper: Tensor, beta: list[float]) -> float:
    """A symmetric H would give beta above the diagonal as well, and nothing further up."""
    excess = torch.triu(upper.double().cpu(), 1) - torch.triu(_tridiagonal(upper.diagonal(), beta), 1)
    return float(torch.linalg.matrix_norm(excess - excess.T, 2)) / 2
