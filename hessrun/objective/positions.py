"""A layer that is applied to every position of a sequence, or of an image with its channels last."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hessrun.objective.links import Affine, Trained, Vectors


class Positionwise(Trained):
    """A link of vectors, given [B, *positions, in]: each position is an example of the link within."""

    def __init__(self, make: Callable[[Tensor], Affine], inputs: Tensor) -> None:
        self._shape = inputs.shape[:-1]
        self._link = make(inputs.flatten(0, -2))
        self.output = torch.unflatten(self._link.output, 0, self._shape)

    def back(self, adjoint: Tensor) -> Tensor:
        return torch.unflatten(self._link.back(adjoint.flatten(0, -2)), 0, self._shape)

    def keep(self, adjoint: Tensor) -> None:
        self._link.keep(adjoint.flatten(0, -2))

    def start(self, vectors: Vectors) -> Tensor:
        return self._tangents(self._link.start(vectors))

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        passed, pushed = self._link.push(self._examples(tangent), vectors)
        return self._tangents(passed), pushed

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        return self._tangents(self._link.pull(self._examples(pulled), pushed, vectors))

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:
        self._link.collect(self._examples(pulled), pushed, products)

    def _examples(self, tangents: Tensor) -> Tensor:
        """[k, B, *positions, width] -> [k, B * positions, width]."""
        return tangents.flatten(1, -2)

    def _tangents(self, examples: Tensor) -> Tensor:
        """The converse."""
        return torch.unflatten(examples, 1, self._shape)
