"""One look at a spectrum: of which matrix, by which method, and what it cost."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from hessrun.curvature import as_spectrum, density, eigenvalues, from_eigenvalues, spectrum
from hessrun.errors import NotFiniteError, OptionError
from hessrun.linalg.memory import require_matrices
from hessrun.objective import Objective
from hessrun.options import choice, integer
from hessrun.record import Spectrum

METHODS = ("exact", "lanczos", "density")
_COLUMNS = 64  # of a matrix that is formed by products, at a time


def method_for(kind: str, n: int, exact_limit: int) -> str:
    """`kind` itself, or what `auto` means at n parameters: exact up to `exact_limit`, lanczos above."""
    if kind != "auto":
        return kind
    return "exact" if n <= exact_limit else "lanczos"


def look_at(
    objective: Objective,
    x: Tensor,
    *,
    method: str,
    matrix: str = "hessian",
    k: int = 10,
    probes: int = 10,
    steps: int = 80,
    start: Tensor | None = None,
    step: int = 0,
) -> tuple[Spectrum, Tensor | None]:
    """The spectrum at x [n], with its products and its seconds; and vectors to start the next look, or None.

    method: `exact` (all eigenvalues), `lanczos` (the k at each end, 1 to n) or `density` (`probes` random vectors,
    `steps` products each). matrix: one of `objective.curvature_kinds()`. start: what an earlier look gave back.
    step: the iteration that the record names.

    Raises OptionError for options outside their ranges, TooLargeError where a matrix does not fit, NotFiniteError where
    one is not finite.
    """
    choice("method", method, METHODS)
    choice("kind", matrix, objective.curvature_kinds())
    integer("k", k, minimum=1)
    if method == "lanczos" and k > objective.dim:
        raise OptionError(f"k={k}: there are only {objective.dim} eigenvalues.")
    objective = objective.uncounted()
    began, memory = time.perf_counter(), None
    if method == "density":
        found = density(objective, x, probes=probes, steps=steps, kind=matrix).as_spectrum(step=step)
    elif method == "lanczos":
        pairs = eigenvalues(objective, x, largest=k, smallest=k, start=start, kind=matrix)
        found, memory = as_spectrum(pairs, step=step), pairs.vectors
    elif matrix == "hessian":
        found = spectrum(objective, x, step=step)
    else:
        found = _exact_by_products(objective, x, matrix, step)
    seconds, spent = time.perf_counter() - began, objective.counts
    return replace(found, matrix=matrix, products=spent.products, seconds=seconds), memory


def _exact_by_products(objective: Objective, x: Tensor, matrix: str, step: int) -> Spectrum:
    """All eigenvalues of a matrix whose columns are its products with the unit vectors; its skew part is the noise."""
    n = objective.dim
    require_matrices(3, n, x.dtype, x.device, what=f"The {matrix} matrix", instead="--method lanczos")
    columns = torch.zeros(n, n, dtype=x.dtype, device=x.device)
    with objective.curvature(x, kind=matrix) as curvature:
        for i in range(0, n, _COLUMNS):
            width = min(_COLUMNS, n - i)
            units = torch.zeros(n, width, dtype=x.dtype, device=x.device)
            units[i : i + width].fill_diagonal_(1)
            columns[:, i : i + width] = curvature @ units
    if not bool(torch.isfinite(columns).all()):
        raise NotFiniteError(f"The {matrix} matrix at this point is not finite: it has no eigenvalues.")
    values = torch.linalg.eigvalsh((0.5 * (columns + columns.T)).double())
    eps, asymmetry = torch.finfo(x.dtype).eps, float((columns - columns.T).abs().max())
    return from_eigenvalues(values, step=step, eps=eps, asymmetry=asymmetry)
