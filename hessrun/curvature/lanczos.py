"""Extreme eigenvalues of the Hessian by products, for networks whose Hessian does not fit."""

from dataclasses import replace

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.lanczos import Eigenpairs, lanczos
from hessrun.objective import Curvature, Objective
from hessrun.options import boolean, integer
from hessrun.record import Spectrum


def eigenvalues(
    objective: Objective,
    x: Tensor,
    *,
    largest: int = 0,
    smallest: int = 0,
    magnitude: int = 0,
    tolerance: float = 1e-3,
    max_products: int | None = None,
    start: Tensor | None = None,
    seed: int = 0,
    kind: str = "hessian",
    check: bool = False,
) -> Eigenpairs:
    """Extreme eigenpairs of the Hessian at x [n] (of the mean loss plus weight decay) by Lanczos.

    largest, smallest: how many at each end, 0 to n; or magnitude: how many of largest |lambda|, instead of both.
    tolerance: on residuals and noise, relative to |lambda|max, 0 or above; max_products: 1 or above.
    start: vectors [n, s] near the wanted ones, as an earlier call returned them; seed: of the random directions.
    kind: one of `objective.curvature_kinds()`. Products are counted on `objective`: pass `objective.uncounted()` to
    look without being counted.
    check: the residuals, which are known from the products made, are computed anew from one more product for each pair,
    and `converged` and `complete` judged by these.

    Raises OptionError for options outside their ranges.
    """
    boolean("check", check)
    with objective.curvature(x, kind=kind) as curvature:
        pairs = lanczos(
            lambda v: curvature @ v,
            objective.dim,
            smallest=smallest,
            largest=largest,
            magnitude=magnitude,
            tolerance=tolerance,
            max_products=max_products,
            start=start,
            seed=seed,
            dtype=objective.dtype,
            device=objective.device,
        )
        return _checked(pairs, curvature, tolerance) if check else pairs


def _checked(pairs: Eigenpairs, curvature: Curvature, tolerance: float) -> Eigenpairs:
    """The pairs with the residuals of products that were made for them."""
    V, products, block = pairs.vectors, pairs.vectors.shape[1], curvature.block
    images = [curvature @ V[:, first : first + block] for first in range(0, products, block)]
    R = torch.cat(images, dim=1) - V * pairs.values.to(V.dtype)
    residuals = torch.linalg.vector_norm(R, dim=0).double()
    are_small = bool((residuals <= tolerance * pairs.scale).all())
    return replace(
        pairs,
        residuals=residuals,
        products=pairs.products + products,
        converged=pairs.converged and are_small,
        complete=pairs.complete and are_small,
        message=pairs.message
        if are_small or not pairs.converged
        else f"Products made anew leave residuals of {residuals.max():.1e}, above the tolerance.",
    )


def extremes(
    objective: Objective,
    x: Tensor,
    *,
    step: int = 0,
    k: int = 10,
    tolerance: float = 1e-3,
    start: Tensor | None = None,
    seed: int = 0,
    kind: str = "hessian",
) -> tuple[Spectrum, Tensor]:
    """The k largest and the k smallest eigenvalues of the Hessian at x [n], and vectors [n, p] to start the next look.

    k: 1 to n; start: what the last look gave back, or None; the rest as in `eigenvalues`.
    """
    integer("k", k, minimum=1)
    if k > objective.dim:
        raise OptionError(f"k={k}: there are only {objective.dim} eigenvalues.")
    pairs = eigenvalues(objective, x, largest=k, smallest=k, tolerance=tolerance, start=start, seed=seed, kind=kind)
    return as_spectrum(pairs, step=step), pairs.vectors


def as_spectrum(pairs: Eigenpairs, *, step: int = 0) -> Spectrum:
    """The pairs as the record keeps them (kind `lanczos`).

    The noise floor is the larger of the products' rounding, eps n |lambda|max, and their measured asymmetry.
    """
    n, values, residuals = len(pairs.vectors), pairs.values.cpu().numpy(), pairs.residuals.cpu().numpy()
    rounding = n * torch.finfo(pairs.vectors.dtype).eps * pairs.scale
    is_rounding = rounding >= pairs.noise
    return Spectrum(
        step=step,
        n=n,
        kind="lanczos",
        largest=values[::-1][: pairs.n_largest].copy(),
        smallest=values[: pairs.n_smallest].copy(),
        largest_residuals=residuals[::-1][: pairs.n_largest].copy(),
        smallest_residuals=residuals[: pairs.n_smallest].copy(),
        noise_floor=rounding if is_rounding else pairs.noise,
        noise_floor_source="eps n |lambda|max" if is_rounding else "asymmetry of the products in the Lanczos basis",
        converged=pairs.converged,
        complete=pairs.complete,
        products=float(pairs.products),
    )
