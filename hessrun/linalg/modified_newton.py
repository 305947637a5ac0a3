"""Positive definite stand-ins for an indefinite Hessian, factorised so that any damping can be added.

`none` H itself · `absolute` |H| = Q |Lambda| Q' · `clip` Q max(Lambda, floor) Q' · `shift` H + tau I.
A Hessian that is positive definite, by more than rounding and by more than the floor of `clip`, is its own stand-in: a
Cholesky factorisation then replaces the far dearer eigendecomposition.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hessrun.linalg.cholesky import cholesky, definite_factor, rounding_level
from hessrun.linalg.norms import eigenvalue_bound

Modification = Literal["absolute", "shift", "clip", "none"]


@dataclass(frozen=True)
class ModifiedHessian:
    """A symmetric matrix M [n, n] as its eigendecomposition, or as itself, plus shift I, where that is definite.

    scale: an upper estimate of |lambda|max, to which damping is relative; 0 where H is 0.
    is_indefinite: H has an eigenvalue that is negative by more than rounding.
    factor: the Cholesky factor [n, n] of M where it was factorised.
    eigenvalues: those of H, ascending, where it was decomposed; vectors: its eigenvectors.
    """

    matrix: Tensor
    shift: float
    scale: float
    is_indefinite: bool = False
    factor: Tensor | None = None
    eigenvalues: Tensor | None = None
    modified: Tensor | None = None
    vectors: Tensor | None = None

    def solve(self, v: Tensor, damping: float) -> tuple[Tensor, bool]:
        """(M + damping I)^-1 v, [n], and whether the system could be solved."""
        if self.vectors is not None and self.modified is not None:
            return self.vectors @ ((self.vectors.T @ v) / (self.modified + damping)), True
        if damping == 0 and self.factor is not None:
            factor, fine = self.factor, True
        else:
            factor, fine = cholesky(self.matrix, self.shift + damping)
        return torch.cholesky_solve(v[:, None], factor)[:, 0], fine

    def quadratic(self, d: Tensor) -> Tensor:
        """d'M d, a scalar."""
        if self.vectors is not None and self.modified is not None:
            return (self.modified * (self.vectors.T @ d) ** 2).sum()
        return torch.dot(d, self.matrix @ d) + self.shift * torch.dot(d, d)

    def lowest(self) -> Tensor:
        """The eigenvector [n] of H's least eigenvalue; H is decomposed where it has not been."""
        vectors = torch.linalg.eigh(self.matrix)[1] if self.vectors is None else self.vectors
        return vectors[:, 0]


def noise_floor(eigenvalues: Tensor) -> float:
    """What rounding leaves of a zero eigenvalue in a dense solver: eps n |lambda|max."""
    return float(eigenvalues.abs().max()) * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps


def modify(H: Tensor, modification: Modification) -> ModifiedHessian | None:
    """The stand-in for H [n, n], finite; None where no shift within the range of its dtype makes it definite.

    absolute: Dauphin et al. (2014), the saddle-free Newton method, an eigenvalue at the level of rounding replaced by
    sqrt(eps) |lambda|max; shift: Nocedal & Wright (2006), algorithm 3.3;
    clip: ibid., eq. 3.40, with eigenvalues below sqrt(eps) |lambda|max raised to it.
    """
    scale = eigenvalue_bound(H)
    if scale == 0:
        return ModifiedHessian(H, 0.0, 0.0)
    if modification == "shift":
        return _shifted(H, scale)
    factor, fine = definite_factor(H)
    root = torch.finfo(H.dtype).eps ** 0.5
    # No squared pivot is below the least eigenvalue.
    if fine and (modification != "clip" or float(factor.diagonal().amin()) ** 2 > root * scale):
        return ModifiedHessian(H, 0.0, scale, factor=factor)
    del factor
    # LAPACK's thresholds are absolute: in units of a power of two near |lambda|max they meet every c f alike.
    unit = math.ldexp(1.0, math.frexp(scale)[1] - 1)
    values, vectors = torch.linalg.eigh(H / unit)
    values.mul_(unit)
    largest, noise = float(values.abs().max()), noise_floor(values)
    if modification == "absolute":
        # Along a null vector, g is rounding as well: over a floor of rounding it would be a step like any other.
        modified = torch.where(values.abs() > noise, values.abs(), root * largest)
    else:
        modified = values.clamp_min(root * largest)
    return ModifiedHessian(
        H, 0.0, largest, float(values[0]) < -noise, eigenvalues=values, modified=modified, vectors=vectors
    )


def _shifted(H: Tensor, scale: float) -> ModifiedHessian | None:
    """The first tau of 0, rounding, beta, 2 beta ... for which H + tau I has a Cholesky factor.

    Rounding, which the algorithm lacks, is enough for a Hessian that is singular; no zero is then taken for negative.
    """
    least, rounding, beta = float(H.diagonal().amin()), rounding_level(H, scale), 1e-3 * scale
    tau = 0.0 if least > 0 else rounding if least >= -rounding else beta - least
    while tau <= torch.finfo(H.dtype).max:
        factor, fine = definite_factor(H) if tau == 0 else cholesky(H, tau)
        if fine:
            return ModifiedHessian(H, tau, scale, tau > rounding, factor)
        tau = rounding if tau < rounding else max(2 * tau, beta)
    return None
