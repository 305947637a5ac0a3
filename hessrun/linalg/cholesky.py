"""Cholesky factors of shifted symmetric matrices: the test of positive definiteness that costs a third of n^3.

Rounding decides whether a singular matrix has a factor. `definite_factor` and `is_indefinite` leave it no say: between
the definite and the indefinite they know the singular, which are neither.
"""

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.norms import eigenvalue_bound
from hessrun.linalg.random import normal

# Factors of singular matrices have shown up to 1.5 eps for the least eigenvalue, the diagonal scaled to 1.
_DEFINITE = 8
_INVERSE_ITERATIONS = 3


def require_factors(dtype: torch.dtype, *, what: str) -> None:
    """Raise OptionError for a type of numbers in which LAPACK has no factors."""
    if dtype not in (torch.float32, torch.float64):
        raise OptionError(f"{what} factors the Hessian, which is done in float32 or float64; here it is {dtype}.")


def cholesky(H: Tensor, shift: float = 0.0) -> tuple[Tensor, bool]:
    """L with L L' = H + shift I, [n, n], and whether there is one: the matrix is positive definite.

    H: [n, n], symmetric; it is not changed.
    """
    if shift > torch.finfo(H.dtype).max:
        return H, False
    if shift == 0:
        factor, info = torch.linalg.cholesky_ex(H)
    else:
        shifted = H.clone()
        shifted.diagonal().add_(shift)
        factor, info = torch.linalg.cholesky_ex(shifted)
    return factor, int(info) == 0


def definite_factor(H: Tensor) -> tuple[Tensor, bool]:
    """L with L L' = H, [n, n], and whether H is positive definite by more than rounding.

    The least eigenvalue of D H D, its diagonal scaled to 1, must exceed 8 eps (Higham, 2002, theorem 10.7: it and not
    that of H decides whether the factorisation succeeds). Inverse iteration estimates it.
    H: [n, n], symmetric; it is not changed.
    """
    factor, fine = cholesky(H)
    if not fine:
        return factor, False
    scales = H.diagonal().sqrt()
    z = start_vector(scales)
    for _ in range(_INVERSE_ITERATIONS):
        z = scales * torch.cholesky_solve((scales * (z / torch.linalg.vector_norm(z)))[:, None], factor)[:, 0]
    # Not finite where the factor is all but singular: then it is not below.
    return factor, bool(torch.linalg.vector_norm(z) * (_DEFINITE * torch.finfo(H.dtype).eps) < 1)


def is_indefinite(H: Tensor) -> bool:
    """Whether H [n, n] has an eigenvalue below -`rounding_level`: one that no rounding makes of a zero."""
    level = rounding_level(H, eigenvalue_bound(H))
    return level > 0 and not cholesky(H, level)[1]


def rounding_level(H: Tensor, bound: float) -> float:
    """(n + 8) eps bound: an eigenvalue of H [n, n] nearer to 0 is not told from 0; bound: of |lambda|max.

    H plus this times I has a Cholesky factor where H is positive semidefinite.
    """
    return (len(H) + 8) * torch.finfo(H.dtype).eps * bound


def start_vector(like: Tensor) -> Tensor:
    """Where inverse iteration starts: the same random numbers every time, [n]."""
    generator = torch.Generator().manual_seed(0)
    return normal(len(like), generator=generator, dtype=like.dtype).to(like.device)
