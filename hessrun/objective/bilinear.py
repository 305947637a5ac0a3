"""Maps that are linear in their input and in their weight, and their adjoints, for many tangents at once.

An input is a [B, in, ...], a weight [out, in, ...], and z [B, out, ...]. Tangents of activations are [k, B, ...], and
lie in memory as suits the map: the k images of one example together for a convolution; for a linear layer the numbers
of one example in a row, or those of one feature over all examples. What else is computed from them keeps their order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

# Up to so many outputs products in float32 are faster by features, beyond them by examples; in float64 they are faster
# by features with 10 as with 64 outputs, two times (measured on one and on two threads, 1,797 and 10,000 examples).
_NARROW = 16


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
    def pull(self, adjoints: Tensor, weight: Tensor, inputs: Tensor) -> Tensor:
        """From [k, B, out, ...] to [k, B, in, ...], as the inputs lie."""

    @abstractmethod
    def pull_each(self, adjoint: Tensor, weights: Tensor, inputs: Tensor) -> Tensor:
        """From [B, out, ...] by each weight [k, out, in, ...] to [k, B, in, ...], as the inputs lie."""

    @abstractmethod
    def to_weight(self, adjoints: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        """The adjoints of the weight, [k, out, in, ...], from those of z [k, B, out, ...]."""

    @abstractmethod
    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, weight: Tensor) -> Tensor:
        """The same from the adjoint of z [B, out, ...] with each input [k, B, in, ...]."""


class Linear(Bilinear):
    """A linear layer on vectors, [B, in] to [B, out]."""

    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        made = _times(inputs, weight.T, by_feature=_suits_features(weight))
        return made if bias is None else made.add_(bias)

    def apply_each(self, inputs: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
        made = _times(inputs, weights.mT, by_feature=_suits_features(weights))
        return made if biases is None else made.add_(biases.unsqueeze(1))

    def push(self, tangents: Tensor, weight: Tensor) -> Tensor:
        return _times(tangents, weight.T, by_feature=_suits_features(weight))

    def pull(self, adjoints: Tensor, weight: Tensor, inputs: Tensor) -> Tensor:
        return _times(adjoints, weight, by_feature=inputs.stride(0) == 1)

    def pull_each(self, adjoint: Tensor, weights: Tensor, inputs: Tensor) -> Tensor:
        return _times(adjoint, weights, by_feature=inputs.stride(0) == 1)

    def to_weight(self, adjoints: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        return adjoints.mT @ inputs

    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, weight: Tensor) -> Tensor:
        return adjoint.T @ tangents


def _times(vectors: Tensor, matrix: Tensor, *, by_feature: bool) -> Tensor:
    """vectors [..., B, in] @ matrix [..., in, out], the numbers of one feature, or else of one example, in a row."""
    return (matrix.mT @ vectors.mT).mT if by_feature else vectors @ matrix


def _suits_features(weight: Tensor) -> bool:
    """Whether products with a weight [..., out, in] are the faster ones by features."""
    return weight.dtype == torch.float64 or weight.shape[-2] <= _NARROW


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

    def pull(self, adjoints: Tensor, weight: Tensor, inputs: Tensor) -> Tensor:
        (examples, *image), k = inputs.shape, len(adjoints)
        return apart(self._to_input(together(adjoints), weight, (examples * k, *image)), k)

    def pull_each(self, adjoint: Tensor, weights: Tensor, inputs: Tensor) -> Tensor:
        (examples, inside, *image), k = inputs.shape, len(weights)
        beside = weights.movedim(0, 1).flatten(1, 2)
        made = self._to_input(adjoint, beside, (examples, k * inside, *image))
        return torch.unflatten(made, 1, (k, inside)).transpose(0, 1)

    def to_weight(self, adjoints: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        (out, *window), k = weight.shape, len(adjoints)
        made = self._to_weight(adjoints.transpose(0, 1).flatten(1, 2), inputs, (k * out, *window))
        return torch.unflatten(made, 0, (k, out))

    def to_weight_each(self, adjoint: Tensor, tangents: Tensor, weight: Tensor) -> Tensor:
        (out, inside, *window), k = weight.shape, len(tangents)
        made = self._to_weight(adjoint, tangents.transpose(0, 1).flatten(1, 2), (out, k * inside, *window))
        return torch.unflatten(made, 1, (k, inside)).movedim(1, 0)

    def _to_input(self, adjoint: Tensor, weight: Tensor, shape: Sequence[int]) -> Tensor:
        return conv2d_input(shape, weight, adjoint, **self._options)  # type: ignore[no-untyped-call, no-any-return]

    def _to_weight(self, adjoint: Tensor, inputs: Tensor, shape: Sequence[int]) -> Tensor:
        return conv2d_weight(inputs, shape, adjoint, **self._options)  # type: ignore[no-untyped-call, no-any-return]


def together(tangents: Tensor) -> Tensor:
    """[k, B, ...] -> [B k, ...]: the tangents of one example one after the other."""
    return tangents.transpose(0, 1).flatten(0, 1)


def apart(examples: Tensor, k: int) -> Tensor:
    """The converse."""
    return torch.unflatten(examples, 0, (-1, k)).transpose(0, 1)


def in_the_order_of(activations: Tensor, values: Tensor) -> Tensor:
    """The values, laid out in memory as the activations of the same shape are."""
    return torch.empty_like(activations).copy_(values)
