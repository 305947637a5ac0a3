"""Maps that are linear in their input and in their weight, and their adjoints, for many tangents at once.

An input is a [B, in, ...], a weight [out, in, ...], and z [B, out, ...]. Tangents of activations are [k, B, ...], and
lie in memory as suits the map: the numbers of one feature, over all examples, in a row for a linear layer, whose
matrix products then are wide and whose broadcast factors long; the k images of one example together for a convolution.
What else is computed from them keeps their order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

Shape = Sequence[int]

# From so many numbers of an example on, float32 products are faster by examples, though transposed afterwards.
_WIDE = 256


class Bilinear(ABC):
    """The map, and its derivatives: of one weight on k inputs, and of k weights on one input."""

    @abstractmethod
    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """z, [B, out, ...]."""

    @abstractmethod
    def apply_each(self, inputs: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        """z of each weight [k, out, in, ...] and bias [k, out], [k, B, out, ...]."""

    @abstractmethod
    def push(self, tangents: Tensor, weight: Tensor) -> Tensor:
        """From [k, B, in, ...] to [k, B, out, ...]."""

    @abstractmethod
    def pull(self, adjoints: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        """From [k, B, out, ...] to [k, B, in, ...]; shape: of the input."""

    @abstractmethod
    def pull_each(self, adjoint: Tensor, weights: Tensor, shape: Shape) -> Tensor:
        """From [B, out, ...] by each weight [k, out, in, ...] to [k, B, in, ...]; shape: of the input."""

    @abstractmethod
    def to_weight(self, adjoints: Tensor, inputs: Tensor, shape: Shape) -> Tensor:
        """The adjoints of the weight, [k, out, in, ...], from those of z [k, B, out, ...]; shape: of the weight."""

    @abstractmethod
    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, shape: Shape) -> Tensor:
        """The same from the adjoint of z [B, out, ...] with each input [k, B, in, ...]."""


class Linear(Bilinear):
    """A linear layer on vectors, [B, in] to [B, out]."""

    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        made = _of_rows(weight, inputs)
        return (made if bias is None else made.add_(bias.unsqueeze(1))).T

    def apply_each(self, inputs: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        made = torch.unflatten(_of_rows(weights.flatten(0, 1), inputs), 0, weights.shape[:2])
        return (made if biases is None else made.add_(biases.unsqueeze(2))).mT

    def push(self, tangents: Tensor, weight: Tensor) -> Tensor:
        return (weight @ tangents.mT).mT

    def pull(self, adjoints: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        return (weight.T @ adjoints.mT).mT

    def pull_each(self, adjoint: Tensor, weights: Tensor, shape: Shape) -> Tensor:
        return (weights.mT @ adjoint.T).mT

    def to_weight(self, adjoints: Tensor, inputs: Tensor, shape: Shape) -> Tensor:
        return adjoints.mT @ inputs

    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, shape: Shape) -> Tensor:
        return adjoint.T @ tangents


class Convolution(Bilinear):
    """A convolution without groups, padded with zeros: channels of many weights, or many images, go side by side."""

    def __init__(self, layer: nn.Conv2d) -> None:
        self._options: dict[str, Any] = {
            "stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation,
        }  # fmt: skip

    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.conv2d(inputs, weight, bias, **self._options)

    def apply_each(self, inputs: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        made = self.apply(inputs, weights.flatten(0, 1), None if biases is None else biases.flatten())
        return torch.unflatten(made, 1, weights.shape[:2]).transpose(0, 1)

    def push(self, tangents: Tensor, weight: Tensor) -> Tensor:
        return apart(self.apply(together(tangents), weight, None), len(tangents))

    def pull(self, adjoints: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        k = len(adjoints)
        return apart(self._to_input(together(adjoints), weight, (shape[0] * k, *shape[1:])), k)

    def pull_each(self, adjoint: Tensor, weights: Tensor, shape: Shape) -> Tensor:
        (examples, inside, *image), k = shape, len(weights)
        beside = weights.movedim(0, 1).flatten(1, 2)
        made = self._to_input(adjoint, beside, (examples, k * inside, *image))
        return torch.unflatten(made, 1, (k, inside)).transpose(0, 1)

    def to_weight(self, adjoints: Tensor, inputs: Tensor, shape: Shape) -> Tensor:
        (out, *window), k = shape, len(adjoints)
        made = self._to_weight(adjoints.transpose(0, 1).flatten(1, 2), inputs, (k * out, *window))
        return torch.unflatten(made, 0, (k, out))

    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, shape: Shape) -> Tensor:
        (out, inside, *window), k = shape, len(tangents)
        made = self._to_weight(adjoint, tangents.transpose(0, 1).flatten(1, 2), (out, k * inside, *window))
        return torch.unflatten(made, 1, (k, inside)).movedim(1, 0)

    def _to_input(self, adjoint: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        return conv2d_input(shape, weight, adjoint, **self._options)  # type: ignore[no-untyped-call, no-any-return]

    def _to_weight(self, adjoint: Tensor, inputs: Tensor, shape: Shape) -> Tensor:
        return conv2d_weight(inputs, shape, adjoint, **self._options)  # type: ignore[no-untyped-call, no-any-return]


def _of_rows(weight: Tensor, inputs: Tensor) -> Tensor:
    """weight @ inputs', [out, B], in one piece."""
    if inputs.dtype == torch.float32 and inputs.shape[1] >= _WIDE:
        return (inputs @ weight.T).T.contiguous()
    return weight @ inputs.T


def together(tangents: Tensor) -> Tensor:
    """[k, B, ...] -> [B k, ...]: the tangents of one example one after the other."""
    return tangents.transpose(0, 1).flatten(0, 1)


def apart(examples: Tensor, k: int) -> Tensor:
    """The converse."""
    return torch.unflatten(examples, 0, (-1, k)).transpose(0, 1)


def in_the_order_of(activations: Tensor, values: Tensor) -> Tensor:
    """The values, laid out in memory as the activations of the same shape are."""
    return torch.empty_like(activations).copy_(values)
