"""How far a quasi-Newton matrix is from what theory asks of it: symmetric, secant, definite, near the true Hessian."""

import torch
from torch import Tensor

from hessrun.errors import NotFiniteError
from hessrun.linalg.lanczos import lanczos
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix, SymmetricMatrix
from hessrun.linalg.random import normal
from hessrun.objective import Evaluation, Objective

_DENSE_LIMIT = 3000


def diagnose(
    objective: Objective,
    here: Evaluation,
    matrix: SymmetricMatrix,
    *,
    is_inverse: bool,
    learned: list[Tensor] | None = None,
    dense_limit: int = _DENSE_LIMIT,
    seed: int = 0,
) -> dict[str, float]:
    """Measures of M, an approximation of the Hessian A = f''(x) (then M is B) or of its inverse (then M is H = B^-1).

    `symmetry_error`: |M - M'|_F / |M|_F.
    `smallest_matrix_eigenvalue`: of (M + M') / 2; M is positive definite where it is above 0.
    `secant_residual`: |H y - s| / |s| or |B s - y| / |y| for the newest pair that M took up (Nocedal & Wright, 2006,
    eq. 6.6), absent before the first.
    `direction_error`: |(A - B) p| / |B p| along p = -H g or p = -g; along a method's own steps it tends to 0 exactly if
    the method converges superlinearly (Dennis and Moré, 1974).
    `hessian_distance`: |B - A|_F / |A|_F, absent above `dense_limit`.
    `matrix_change`: |M - M0|_F / |M0|_F, M0 the matrix before the newest pair; absent above `dense_limit`, for methods
    that keep no matrix, and where that update is not held apart (`QuasiNewtonMatrix.newest_update`).

    here: f with its gradient at x; learned: s and y, each [n].
    dense_limit: up to this n, 0 or above, M and A are formed as wholes (O(n^3) time); above, symmetry is measured on
    two random vectors drawn from `seed`, and the eigenvalue by Lanczos to 1 % of the largest.
    Products are counted on `objective`: pass `objective.uncounted()` to look without being counted.
    Raises NotFiniteError where the Hessian is not finite.
    """
    found = _direction_error(objective, here, matrix, is_inverse) | _secant_residual(matrix, learned, is_inverse)
    if objective.dim > dense_limit:
        return found | _by_products(objective, matrix, seed)
    M = matrix.dense()
    found["symmetry_error"] = float(torch.linalg.matrix_norm(M - M.T) / torch.linalg.matrix_norm(M))
    newest = matrix.newest_update() if isinstance(matrix, QuasiNewtonMatrix) else None
    if newest is not None:
        found["matrix_change"] = float(torch.linalg.matrix_norm(newest) / torch.linalg.matrix_norm(M - newest))
    values, vectors = torch.linalg.eigh(0.5 * (M + M.T).double())
    found["smallest_matrix_eigenvalue"] = float(values[0])
    A = objective.hessian(here.x)
    if not bool(torch.isfinite(A).all()):
        raise NotFiniteError("The Hessian at this point is not finite: no distance to it can be measured.")
    # Where M = H is singular, B has no finite entries and the distance is infinite, as it should be.
    B = (vectors / values) @ vectors.T if is_inverse else M
    found["hessian_distance"] = float(torch.linalg.matrix_norm(B - A) / torch.linalg.matrix_norm(A))
    return found


def _direction_error(
    objective: Objective, here: Evaluation, matrix: SymmetricMatrix, is_inverse: bool
) -> dict[str, float]:
    g = here.gradient
    p, Bp = (matrix.product(g), g) if is_inverse else (g, matrix.product(g))
    with objective.curvature(here.x) as curvature:
        error = torch.linalg.vector_norm(curvature @ p - Bp)
    return {"direction_error": float(error / torch.linalg.vector_norm(Bp))}


def _secant_residual(matrix: SymmetricMatrix, learned: list[Tensor] | None, is_inverse: bool) -> dict[str, float]:
    if learned is None:
        return {}
    s, y = learned
    given, expected = (y, s) if is_inverse else (s, y)
    residual = torch.linalg.vector_norm(matrix.product(given) - expected)
    return {"secant_residual": float(residual / torch.linalg.vector_norm(expected))}


def _by_products(objective: Objective, matrix: SymmetricMatrix, seed: int) -> dict[str, float]:
    n, dtype, device = objective.dim, objective.dtype, objective.device
    generator = torch.Generator().manual_seed(seed)
    u, v = (normal(n, generator=generator).to(dtype=dtype, device=device) for _ in range(2))
    Mu, Mv = matrix.product(u), matrix.product(v)
    skew = (torch.dot(u, Mv) - torch.dot(v, Mu)).abs() / (torch.linalg.vector_norm(Mu) * torch.linalg.vector_norm(v))

    def images(V: Tensor) -> Tensor:
        return torch.stack([matrix.product(column) for column in V.unbind(1)], dim=1)

    pairs = lanczos(images, n, smallest=1, tolerance=0.01, dtype=dtype, device=device, seed=seed)
    return {"symmetry_error": float(skew), "smallest_matrix_eigenvalue": float(pairs.values[0])}
