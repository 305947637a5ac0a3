"""The function that a method minimises, seen as f: R^n -> R with gradients, products and Hessians.

Public methods check shapes, count, then call an abstract `_method`: an extension cannot forget to count.
"""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from hessrun.errors import ObjectiveError, OptionError
from hessrun.linalg.memory import require_matrices
from hessrun.objective.counts import Counter, EvaluationCounts

# Of a Hessian, this many columns are asked for at once: a graph that is not kept is made once for all of them.
_COLUMNS = 64


@dataclass(frozen=True)
class Evaluation:
    """f at a point. The tensors are never written to.

    x: [n]; value: a scalar tensor on x's device (reading it waits for the device); gradient: [n], or None.
    """

    x: Tensor
    value: Tensor
    gradient_or_none: Tensor | None

    @property
    def gradient(self) -> Tensor:
        """[n]; raises ObjectiveError where f was evaluated without it."""
        if self.gradient_or_none is None:
            raise ObjectiveError("This evaluation was made with gradient=False: evaluate with gradient=True.")
        return self.gradient_or_none

    def is_finite(self) -> bool:
        """Value and gradient are finite; one read from the device."""
        finite = torch.isfinite(self.value)
        if self.gradient_or_none is not None:
            finite = finite & torch.isfinite(self.gradient_or_none).all()
        return bool(finite)


class Curvature(ABC):
    """A symmetric matrix at one point, seen through its products: `C @ v` with v [n], or `C @ V` with V [n, k].

    Made once by `Objective.curvature`, then applied many times. It holds memory: close it, or use it in `with`.
    """

    def __init__(self, objective: "Objective") -> None:
        self._objective = objective
        self.shape = (objective.dim, objective.dim)
        self.dtype = objective.dtype
        self.device = objective.device

    @property
    def block(self) -> int:
        """How many columns of V are best given at once."""
        return _COLUMNS

    @property
    def precision(self) -> float:
        """Relative rounding of one operation within a product."""
        return torch.finfo(self.dtype).eps

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """The product with v [n] or with each column of V [n, k]; counted once a column."""
        if vectors.ndim not in (1, 2) or vectors.shape[0] != self.shape[0]:
            raise OptionError(
                f"A product takes v [{self.shape[0]}] or V [{self.shape[0]}, k]; got {list(vectors.shape)}."
            )
        if vectors.dtype != self.dtype or vectors.shape[-1] == 0:
            raise OptionError(
                f"A product takes one or more vectors of {self.dtype}; got {list(vectors.shape)} of {vectors.dtype}."
            )
        columns = 1 if vectors.ndim == 1 else vectors.shape[1]
        self._objective.counter.add_products(self._objective.n_batch, columns)
        return self._product(vectors)

    @abstractmethod
    def _product(self, vectors: Tensor) -> Tensor: ...

    def close(self) -> None:  # noqa: B027  (most have nothing to release)
        """Release what the linearisation holds; later products are an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CastCurvature(Curvature):
    """The curvature of a twin of the objective in another dtype; vectors are given and returned in the objective's."""

    def __init__(self, objective: "Objective", inner: Curvature) -> None:
        super().__init__(objective)
        self._inner = inner

    @property
    def precision(self) -> float:
        return self._inner.precision

    def _product(self, vectors: Tensor) -> Tensor:
        return self._inner._product(vectors.to(self._inner.dtype)).to(self.dtype)

    def close(self) -> None:
        self._inner.close()


class Objective(ABC):
    """f: R^n -> R, a mean over examples; the same x always gives the same value.

    dim: n; n_examples: N, the examples that make one pass; n_batch: the examples that this objective averages
    (N, or fewer for a minibatch); counter: what has been asked for, shared with its minibatches.
    """

    dim: int
    n_examples: int
    n_batch: int
    dtype: torch.dtype
    device: torch.device
    counter: Counter

    @property
    def counts(self) -> EvaluationCounts:
        """A snapshot of the passes so far; snapshots subtract."""
        return self.counter.snapshot()

    def uncounted(self) -> Self:
        """The same function with a counter of its own, for metrics and probes."""
        twin = copy.copy(self)
        twin.counter = Counter(self.n_examples)
        return twin

    def named_views(self, x: Tensor) -> dict[str, Tensor]:
        """Views of x [n] by parameter name and in the parameter's shape; one vector `x` where there is no network."""
        return {"x": x}

    def evaluate(self, x: Tensor, *, gradient: bool = True) -> Evaluation:
        """f(x), and its gradient [n] unless `gradient=False`; counts one gradient or one value, never both."""
        self._check(x)
        if gradient:
            _require_graphs()
            self.counter.add_gradient(self.n_batch)
        else:
            self.counter.add_value(self.n_batch)
        return self._evaluate(x, gradient)

    def curvature(self, x: Tensor, *, kind: str = "hessian", dtype: torch.dtype | None = None) -> Curvature:
        """The Hessian at a copy of x, ready for products. Counts nothing by itself.

        kind: one of `curvature_kinds()`. dtype: that the products are computed in, by default the objective's own;
        vectors are given and returned in the objective's.
        Raises OptionError for a kind that this objective does not have, or a dtype that it cannot be computed in.
        """
        self._check(x)
        self._check_kind(kind)
        _require_graphs()
        if dtype is None or dtype == self.dtype:
            return self._curvature(x, kind)
        return CastCurvature(self, self.in_dtype(dtype)._curvature(x.to(dtype), kind))

    def in_dtype(self, dtype: torch.dtype) -> "Objective":
        """The same function computed in another dtype, on the same counter. Raises OptionError where there is none."""
        if dtype == self.dtype:
            return self
        raise OptionError(f"This objective is computed in {self.dtype} alone; a model's risk can be had in {dtype}.")

    def curvature_kinds(self) -> tuple[str, ...]:
        """The matrices that `curvature` offers."""
        return ("hessian",)

    def hessian(self, x: Tensor, *, kind: str = "hessian") -> Tensor:
        """The Hessian at x, or another of `curvature_kinds()`, [n, n], symmetric to the last bit.

        Counts the columns that were propagated.
        Raises OptionError for a kind that this objective does not have; TooLargeError, with the bytes, the limit and
        what to use instead, before anything is allocated.
        """
        self._check(x)
        require_matrices(2, self.dim, self.dtype, self.device, what="The Hessian", instead="products (curvature)")
        self._check_kind(kind)
        _require_graphs()
        hessian, columns = self._hessian(x) if kind == "hessian" else self._dense(x, kind)
        self.counter.add_hessian_columns(self.n_batch, columns)
        return hessian

    def _hessian(self, x: Tensor) -> tuple[Tensor, int]:
        """The Hessian and the number of columns propagated."""
        return self._dense(x, "hessian")

    def _dense(self, x: Tensor, kind: str) -> tuple[Tensor, int]:
        """A matrix by products with blocks of unit vectors, symmetrised, and the number of columns propagated."""
        with self._curvature(x, kind) as curvature:
            hessian = torch.empty(self.dim, self.dim, dtype=self.dtype, device=self.device)
            for start in range(0, self.dim, curvature.block):
                rows = hessian[start : start + curvature.block]
                units = torch.zeros_like(rows)
                units.diagonal(start).fill_(1)
                rows.copy_(curvature._product(units.T).T)
        return (hessian + hessian.T).mul_(0.5), self.dim

    @abstractmethod
    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation: ...

    @abstractmethod
    def _curvature(self, x: Tensor, kind: str) -> Curvature: ...

    def _check_kind(self, kind: str) -> None:
        if kind not in self.curvature_kinds():
            raise OptionError(f"kind={kind!r}: this objective has {', '.join(self.curvature_kinds())}.")

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise OptionError(f"x must be a torch.Tensor [{self.dim}]; got {type(x).__name__}.")
        if x.shape != (self.dim,) or x.dtype != self.dtype or x.device.type != self.device.type:
            raise OptionError(
                f"x must be a vector [{self.dim}] of {self.dtype} on {self.device}; "
                f"got {list(x.shape)} of {x.dtype} on {x.device}."
            )


def _require_graphs() -> None:
    if torch.is_inference_mode_enabled():
        # It records nothing, whatever enable_grad says: gradients would be 0.
        raise ObjectiveError(
            "Inside torch.inference_mode() there are no gradients and no products: call outside of it; torch.no_grad() "
            "is no obstacle."
        )
