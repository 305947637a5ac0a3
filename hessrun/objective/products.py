"""Products with a curvature matrix: one linearisation, then many products on its cached graph."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from hessrun.errors import ObjectiveError
from hessrun.objective.base import Curvature, Objective


class ProductGraph(Protocol):
    """A symmetric matrix through its products: one with a vector in the leaves' shapes, or many with rows [k, n]."""

    def product(self, vectors: Sequence[Tensor]) -> Tensor: ...

    def products(self, rows: Tensor) -> Tensor: ...


class Batching:
    """Whether products can be made many at a time: until the first operation that cannot be batched.

    One is shared by all that differentiate the same module, so that a failure is not repeated.
    """

    works = True


def in_shapes(rows: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """The parts of rows [k, n] that belong to each leaf, [k, *shape]."""
    parts = torch.split(rows, [leaf.numel() for leaf in leaves], dim=1)
    return [part.reshape(len(rows), *leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]


def in_rows(parts: Sequence[Tensor]) -> Tensor:
    """The converse: [k, n] from parts [k, *shape]."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def vector_jacobian_products(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], rows: Sequence[Tensor]
) -> list[Tensor]:
    """sum_o rows_o[i]' d outputs_o / d input, all i at once: rows [k, *output], a result [k, *input] for each input.

    Raises where an operation has no rule for a batch: it would be looped over with a warning, slower than one by one.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*batching rule")
        found = torch.autograd.grad(outputs, inputs, rows, retain_graph=True, allow_unused=True, is_grads_batched=True)
    # materialize_grads would give zeros without the first dimension.
    return [
        given.new_zeros(len(rows[0]), *given.shape) if part is None else part
        for part, given in zip(found, inputs, strict=True)
    ]


class GradientGraph:
    """The gradient of a scalar in some leaves, with its graph; H v is the gradient of g'v (Pearlmutter, 1994)."""

    def __init__(self, value: Tensor, leaves: Sequence[Tensor]) -> None:
        self._leaves = leaves
        gradients: Sequence[Tensor] = ()
        if value.requires_grad:
            gradients = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        # A gradient that does not depend on any leaf contributes nothing to H.
        self._active = [i for i, g in enumerate(gradients) if g.requires_grad]
        self._gradients = [gradients[i] for i in self._active]

    def product(self, vectors: Sequence[Tensor]) -> Tensor:
        """H v, [n], for v given in the leaves' shapes."""
        if not self._gradients:
            return torch.cat([torch.zeros_like(leaf).reshape(-1) for leaf in self._leaves])
        parts = torch.autograd.grad(
            self._gradients,
            self._leaves,
            [vectors[i] for i in self._active],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([part.reshape(-1) for part in parts])

    def products(self, rows: Tensor) -> Tensor:
        """H times each row, [k, n]; raises where an operation has no rule for a batch."""
        if not self._gradients:
            return torch.zeros_like(rows)
        vectors = in_shapes(rows, self._leaves)
        parts = vector_jacobian_products(self._gradients, self._leaves, [vectors[i] for i in self._active])
        return in_rows(parts)


class GraphCurvature(Curvature):
    """A curvature matrix as a sum of graphs, one per chunk of examples, plus a diagonal.

    build: makes the graphs, one after the other; keep: hold them all, or make them anew for every call where they
    would not fit; split: a flat vector [n] in the leaves' shapes; diagonal: weight decay, a number or [n].
    batch: how many columns of V [n, k] go through a graph at once, 1 or above, while `batching` works.
    """

    def __init__(
        self,
        objective: Objective,
        build: Callable[[], Iterator[ProductGraph]],
        split: Callable[[Tensor], Sequence[Tensor]],
        *,
        keep: bool = True,
        diagonal: Tensor | float = 0.0,
        batch: int = 1,
        batching: Batching | None = None,
    ) -> None:
        super().__init__(objective)
        self._build, self._split, self._diagonal = build, split, diagonal
        self._batch, self._batching = batch, batching or Batching()
        self._graphs = list(build()) if keep else None
        self._is_closed = False

    @property
    def block(self) -> int:
        return max(super().block, self._batch)

    def _product(self, vectors: Tensor) -> Tensor:
        if self._is_closed:
            raise ObjectiveError("This curvature is closed: make its products before, or ask for another one.")
        if vectors.ndim == 1:
            return self._sum(vectors, self._one)
        rows = vectors.T.contiguous()
        if self._batching.works and self._batch > 1 and len(rows) > 1:
            try:
                return self._sum(rows, self._at_once).T.contiguous()
            except (RuntimeError, ValueError, UserWarning):
                product = self._sum(rows, self._one_by_one).T.contiguous()
                # Only now: what fails one by one as well was not the batch's fault.
                self._batching.works = False
                return product
        return self._sum(rows, self._one_by_one).T.contiguous()

    def _sum(self, vectors: Tensor, multiply: Callable[[ProductGraph, Tensor], Tensor]) -> Tensor:
        total = self._diagonal * vectors
        for graph in self._build() if self._graphs is None else self._graphs:
            total = total + multiply(graph, vectors)
        return total

    def _one(self, graph: ProductGraph, vector: Tensor) -> Tensor:
        return graph.product(self._split(vector))

    def _one_by_one(self, graph: ProductGraph, rows: Tensor) -> Tensor:
        return torch.stack([self._one(graph, row) for row in rows])

    def _at_once(self, graph: ProductGraph, rows: Tensor) -> Tensor:
        return torch.cat([graph.products(block) for block in torch.split(rows, self._batch)])

    def close(self) -> None:
        self._graphs, self._is_closed = None, True
