"""The exact spectrum: all eigenvalues of the dense Hessian, and what rounding leaves of them."""

from typing import Literal

import torch
from torch import Tensor

from hessrun.curvature.bulk import bulk, effective_rank
from hessrun.errors import NotFiniteError
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.random import normal
from hessrun.objective import Objective
from hessrun.options import integer
from hessrun.record import Spectrum

_ENDS = 10
_NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss-Newton matrix"}


def spectrum(objective: Objective, x: Tensor, *, step: int = 0, seed: int = 0, kind: str = "hessian") -> Spectrum:
    """All eigenvalues of the Hessian at x [n] (of the mean loss plus weight decay), by a dense solver in float64.

    The noise floor is the larger of the solver's rounding, eps n |lambda|max, and the measured disagreement
    |u'Hv - v'Hu| of two products with random unit vectors drawn from `seed`.
    seed: 0 or above. kind: one of `objective.curvature_kinds()`. Products are counted on `objective`.
    Raises OptionError for options outside their ranges, TooLargeError where the Hessian does not fit, NotFiniteError
    where it is not finite.
    """
    integer("seed", seed, minimum=0)
    what, instead = "The exact spectrum", "Lanczos or a density"
    require_matrices(2, objective.dim, torch.float64, objective.device, what=what, instead=instead)
    H = objective.hessian(x, kind=kind)
    if not bool(torch.isfinite(H).all()):
        raise NotFiniteError(f"The {_NAMES.get(kind, kind)} at this point is not finite: it has no eigenvalues.")
    generator = torch.Generator().manual_seed(seed)
    u, v = (_unit(len(x), generator).to(dtype=x.dtype, device=x.device) for _ in range(2))
    with objective.curvature(x, kind=kind) as curvature:
        asymmetry = float((torch.dot(u, curvature @ v) - torch.dot(v, curvature @ u)).abs())
    eps, H = torch.finfo(H.dtype).eps, H.double()
    eigenvalues = torch.linalg.eigvalsh(H)
    return from_eigenvalues(eigenvalues, step=step, eps=eps, asymmetry=asymmetry)


def from_eigenvalues(
    eigenvalues: Tensor,
    *,
    step: int = 0,
    eps: float | None = None,
    asymmetry: float = 0.0,
    source: Literal["probe", "optimizer"] = "probe",
) -> Spectrum:
    """The spectrum of eigenvalues [n] that are known already, in any order.

    eps: rounding of the numbers that the matrix was computed in, by default that of the eigenvalues' own type.
    asymmetry: measured noise of the products, in units of the eigenvalues.
    """
    values = eigenvalues.double().sort().values
    n, size = len(values), float(values.abs().max())
    rounding = n * size * (torch.finfo(eigenvalues.dtype).eps if eps is None else eps)
    floor = max(rounding, asymmetry)
    outside = values[values.abs() > floor].abs()
    condition = float(outside.max() / outside.min()) if len(outside) else float("nan")
    found = bulk(values, floor)
    array = values.cpu().numpy()
    return Spectrum(
        step=step,
        n=n,
        kind="exact",
        eigenvalues=array,
        largest=array[::-1][:_ENDS].copy(),
        smallest=array[:_ENDS].copy(),
        negative=int((values < -floor).sum()),
        zero=int((values.abs() <= floor).sum()),
        condition_number=condition,
        effective_rank=effective_rank(values, floor),
        outliers=found.outliers,
        bulk_edge=found.edge,
        noise_floor=floor,
        noise_floor_source="eps n |lambda|max" if rounding >= asymmetry else "asymmetry of random products",
        source=source,
    )


def _unit(n: int, generator: torch.Generator) -> Tensor:
    vector = normal(n, generator=generator)
    unit: Tensor = vector / torch.linalg.vector_norm(vector)
    return unit
