"""A spectrum as the record keeps it: numbers of numpy, in one .npz file without pickle."""

import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hessrun.errors import RecordError
from hessrun.record.npz import read_arrays

Array = npt.NDArray[np.float64]


def _empty() -> Array:
    return np.empty(0)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of the Hessian of the training loss (a mean over examples, plus weight decay) at one step.

    step: the iteration; n: the number of parameters.
    kind: `exact` (all eigenvalues), `lanczos` (the extreme ones) or `density` (a quadrature seen by random vectors).
    eigenvalues: [n], ascending; empty unless exact.
    largest, smallest: [k], the top ones descending and the bottom ones ascending, exact or not; of a density its
    outermost nodes alone, which lie within the range of the eigenvalues.
    largest_residuals, smallest_residuals: [k], 2-norms of H v - lambda v for unit v; empty when exact.
    negative, zero: how many lie below -noise_floor, and within it; -1 where not all are known.
    condition_number: |lambda|max / |lambda|min over what lies outside the noise floor; nan where not all are known.
    effective_rank: exp of the entropy of |lambda| / sum |lambda| over what lies outside the noise floor, from 1 to n
    (Roy and Vetterli, 2007, Definition 1); nan where not all are known.
    outliers, bulk_edge: how many eigenvalues stand above the bulk, and its largest value (`curvature.bulk`); -1 and nan
    where not all are known.
    density_nodes, density_weights: [probes, m], of a density; a row's weights sum to 1.
    preconditioned_largest, preconditioned_smallest: [k], descending and ascending, extreme eigenvalues of H B^-1, B the
    quasi-Newton matrix of the method; preconditioned_condition: their |lambda|max / |lambda|min, nan where they do not
    tell. Empty and nan where there is no B or where it is not positive definite.
    stability_limit: 2 / lr of gradient descent without momentum at this step: where the largest eigenvalue lies above
    it, the next steps leave a quadratic model; nan for other methods.
    matrix: `hessian`, or `gauss_newton` where that was asked for; parameters: the patterns of the names it is
    restricted to, `*` is all of them.
    noise_floor, noise_floor_source: what rounding leaves of a zero eigenvalue, and how that was found.
    converged: every residual is below its tolerance.
    complete: no eigenvalue beyond the reported ends was found by the search that confirms them.
    source: `probe`, or `optimizer` where the method had computed it for itself, on its own clock.
    products: Hessian-vector products that it took; seconds: time that it took, off the optimizer's clock.
    """

    step: int
    n: int
    kind: Literal["exact", "lanczos", "density"]
    eigenvalues: Array = field(default_factory=_empty)
    largest: Array = field(default_factory=_empty)
    smallest: Array = field(default_factory=_empty)
    largest_residuals: Array = field(default_factory=_empty)
    smallest_residuals: Array = field(default_factory=_empty)
    negative: int = -1
    zero: int = -1
    condition_number: float = float("nan")
    effective_rank: float = float("nan")
    outliers: int = -1
    bulk_edge: float = float("nan")
    density_nodes: Array = field(default_factory=_empty)
    density_weights: Array = field(default_factory=_empty)
    preconditioned_largest: Array = field(default_factory=_empty)
    preconditioned_smallest: Array = field(default_factory=_empty)
    preconditioned_condition: float = float("nan")
    stability_limit: float = float("nan")
    matrix: str = "hessian"
    parameters: str = "*"
    noise_floor: float = float("nan")
    noise_floor_source: str = ""
    converged: bool = True
    complete: bool = True
    source: Literal["probe", "optimizer"] = "probe"
    products: float = 0.0
    seconds: float = 0.0

    @property
    def is_indefinite(self) -> bool:
        """An eigenvalue lies below -noise_floor."""
        return bool(self.smallest.size and self.smallest[0] < -self.noise_floor)

    @property
    def negative_share(self) -> float:
        """The share of eigenvalues below -noise_floor; nan where not all are known."""
        return self.negative / self.n if self.negative >= 0 else float("nan")

    def save(self, path: Path) -> None:
        """Write the spectrum to `path` (.npz)."""
        arrays: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Spectrum":
        """Read what `save` wrote; raises RecordError where the file is damaged."""
        try:
            data = read_arrays(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise RecordError(f"{path}: no readable spectrum ({error}).") from error
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        missing = {"step", "n", "kind"} - values.keys()
        if missing:
            raise RecordError(f"{path}: no spectrum ({', '.join(sorted(missing))} missing).")
        return cls(**{name: value if value.ndim else value.item() for name, value in values.items()})
