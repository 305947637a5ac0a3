"""Products with a curvature matrix: one linearisation, then many products on its cached graph."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from hessrun.errors import ObjectiveError
from hessrun.objective.base import Curvature, Objective


class ProductGraph(Protocol):
    """A symmetric matrix through its products, the vectors given in the leaves' shapes."""

    def product(self, vectors: Sequence[Tensor]) -> Tensor: ...


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


class GraphCurvature(Curvature):
    """A curvature matrix as a sum of graphs, one per chunk of examples, plus a diagonal.

    build: makes the graphs, one after the other; keep: hold them all, or make them anew for every product where they
    would not fit; split: a flat vector [n] in the leaves' shapes; diagonal: weight decay, a number or [n].
    """

    def __init__(
        self,
        objective: Objective,
        build: Callable[[], Iterator[ProductGraph]],
        split: Callable[[Tensor], Sequence[Tensor]],
        *,
        keep: bool = True,
        diagonal: Tensor | float = 0.0,
    ) -> None:
        super().__init__(objective)
        self._build, self._split, self._diagonal = build, split, diagonal
        self._graphs = list(build()) if keep else None
        self._is_closed = False

    def _product(self, vectors: Tensor) -> Tensor:
        if self._is_closed:
            raise ObjectiveError("This curvature is closed: make its products before, or ask for another one.")
        if vectors.ndim == 2:
            return torch.stack([self._single(v) for v in vectors.unbind(1)], dim=1)
        return self._single(vectors)

    def _single(self, vector: Tensor) -> Tensor:
        total = self._diagonal * vector
        parts = self._split(vector)
        for graph in self._build() if self._graphs is None else self._graphs:
            total = total + graph.product(parts)
        return total

    def close(self) -> None:
        self._graphs, self._is_closed = None, True
