"""Positive definite stand-ins for an indefinite Hessian, factorised so that any damping can be added.

`none` H itself · `absolute` |H| = Q |Lambda| Q' · `clip` Q max(Lambda, floor) Q' · `shift` H + tau I.
A Hessian that is positive definite is its own stand-in: a Cholesky factorisation then replaces the far dearer
eigendecomposition.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hessrun.linalg.cholesky import cholesky

Modification = Literal["absolute", "shift", "clip", "none"]


@dataclass(frozen=True)
class ModifiedHessian:
    """A symmetric matrix M [n, n] as its eigendecomposition, or as itself where it is positive definite.

    scale: an upper estimate of |lambda|max, to which damping is relative.
    eigenvalues: those of H, ascending, where it was decomposed; vectors: its eigenvectors.
    """

    matrix: Tensor
    shift: float
    scale: float
    eigenvalues: Tensor | None = None
    modified: Tensor | None = None
    vectors: Tensor | None = None

    def solve(self, v: Tensor, damping: float) -> tuple[Tensor, bool]:
        """(M + damping I)^-1 v, [n], and whether the system could be solved."""
        if self.vectors is not None and self.modified is not None:
            return self.vectors @ ((self.vectors.T @ v) / (self.modified + damping)), True
        factor, fine = cholesky(self.matrix, self.shift + damping)
        return torch.cholesky_solve(v[:, None], factor)[:, 0], fine

    def quadratic(self, d: Tensor) -> Tensor:
        """d'M d, a scalar."""
        if self.vectors is not None and self.modified is not None:
            return (self.modified * (self.vectors.T @ d) ** 2).sum()
        return torch.dot(d, self.matrix @ d) + self.shift * torch.dot(d, d)

    @property
    def lowest(self) -> tuple[float, Tensor] | None:
        """The least eigenvalue of H and its eigenvector [n], where H was decomposed."""
        if self.eigenvalues is None or self.vectors is None:
            return None
        return float(self.eigenvalues[0]), self.vectors[:, 0]


def noise_floor(eigenvalues: Tensor) -> float:
    """What rounding leaves of a zero eigenvalue in a dense solver: eps n |lambda|max."""
    return float(eigenvalues.abs().max()) * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps


def modify(H: Tensor, modification: Modification) -> ModifiedHessian:
    """The stand-in for H [n, n].

    absolute: Dauphin et al. (2014), the saddle-free Newton method; shift: Nocedal & Wright (2006), algorithm 3.3;
    clip: ibid., eq. 3.40, with eigenvalues below sqrt(eps) |lambda|max raised to it.
    """
    scale = float(H.abs().sum(1).max())
    if modification == "shift":
        return ModifiedHessian(H, _shift(H), scale)
    if cholesky(H)[1]:
        return ModifiedHessian(H, 0.0, scale)
    values, vectors = torch.linalg.eigh(H)
    floor = noise_floor(values)
    if modification == "absolute":
        modified = values.abs().clamp_min(floor)
    else:
        modified = values.clamp_min(torch.finfo(H.dtype).eps ** 0.5 * float(values.abs().max()))
    return ModifiedHessian(H, 0.0, float(values.abs().max()), values, modified, vectors)


def _shift(H: Tensor) -> float:
    """The first tau of 0, beta, 2 beta ... for which H + tau I has a Cholesky factor."""
    beta = 1e-3 * float(torch.linalg.vector_norm(H)) or 1.0
    least = float(H.diagonal().min())
    tau = 0.0 if least > 0 else beta - least
    while not cholesky(H, tau)[1]:
        tau = max(2 * tau, beta)
    return tau
