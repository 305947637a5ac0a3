"""What a quasi-Newton matrix makes of the Hessian: the extreme eigenvalues of H B^-1, all 1 where B = H."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.krylov_basis import IndefiniteMetricError
from hessrun.linalg.lanczos import Eigenpairs, lanczos
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.quasi_newton_matrix import SymmetricMatrix
from hessrun.objective import Objective
from hessrun.options import integer
from hessrun.record import Spectrum

# An eigenvalue so many times above what it may be off by is a denominator.
_CERTAIN = 10.0


def preconditioned(
    objective: Objective,
    x: Tensor,
    matrix: SymmetricMatrix,
    *,
    is_inverse: bool,
    k: int = 10,
    tolerance: float = 1e-3,
    max_products: int | None = None,
    start: Tensor | None = None,
    seed: int = 0,
) -> Eigenpairs | None:
    """The k largest and k smallest eigenvalues of H B^-1, H the Hessian at x [n] and B positive definite.

    H B^-1 is self-adjoint in the inner product u'B^-1 v, in which Lanczos is made; its eigenvalues are those of
    B^(-1/2) H B^(-1/2), and their quotient is the condition number that the quasi-Newton step sees.
    matrix: B^-1 where `is_inverse`, used by its products; or B, which is formed and factored (two matrices [n, n]).
    k: 1 to n. tolerance, max_products, start, seed: as in `eigenvalues`; residuals are lengths in the inner product.
    Returns None where B is met to be no positive definite matrix, as B of SR1 may be: there is no inner product then.
    Products with H are counted on `objective`; those with `matrix` are not.

    Raises OptionError for options outside their ranges, TooLargeError where B does not fit.
    """
    n = objective.dim
    integer("k", k, minimum=1)
    if k > n:
        raise OptionError(f"k={k}: there are only {n} eigenvalues.")
    metric = matrix.product if is_inverse else _solves(matrix, objective)
    if metric is None:
        return None
    with objective.curvature(x) as curvature:
        try:
            return lanczos(
                lambda v: curvature @ v,
                n,
                smallest=k,
                largest=k,
                tolerance=tolerance,
                max_products=max_products,
                start=start,
                seed=seed,
                dtype=objective.dtype,
                device=objective.device,
                metric=metric,
            )
        except IndefiniteMetricError:
            return None


def with_preconditioned(spectrum: Spectrum, pairs: Eigenpairs | None) -> Spectrum:
    """The spectrum with what `preconditioned` found beside it; as it was where that is None.

    `preconditioned_condition` is the quotient of the ends where both have the same sign and the smaller one is known,
    ten times above its residual and the noise; else nan. Of an indefinite H the eigenvalues next to 0 are not among the
    extreme ones.
    """
    if pairs is None:
        return spectrum
    values = pairs.values.cpu().numpy()
    low, high = float(values[0]), float(values[-1])
    nearer = 0 if abs(low) < abs(high) else -1
    smaller, larger = sorted((abs(low), abs(high)))
    is_known = low * high > 0 and smaller > _CERTAIN * max(float(pairs.residuals[nearer]), pairs.noise)
    return replace(
        spectrum,
        preconditioned_largest=values[::-1][: pairs.n_largest].copy(),
        preconditioned_smallest=values[: pairs.n_smallest].copy(),
        preconditioned_condition=larger / smaller if is_known else math.nan,
    )


def _solves(matrix: SymmetricMatrix, objective: Objective) -> Callable[[Tensor], Tensor] | None:
    """v -> B^-1 v by Cholesky's factor of B, or None where B has none."""
    what = "The factor of a quasi-Newton matrix"
    require_matrices(2, objective.dim, objective.dtype, objective.device, what=what, instead="a method that keeps B^-1")
    factor, info = torch.linalg.cholesky_ex(matrix.dense())
    if int(info) != 0:
        return None
    return lambda v: torch.cholesky_solve(v[:, None], factor)[:, 0]
