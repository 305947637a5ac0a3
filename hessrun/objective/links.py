"""The links of a chain of layers at one point: what they do to tangents, and to the tangents of adjoints.

A link maps activations a [B, ...] to z [B, ...]. Beside a there are k tangents of it, [B, k, ...], so that one large
matrix product serves all of them. `push` carries them forward, `pull` carries the tangents of the adjoint of z back to
those of the adjoint of a (Pearlmutter, 1994, section 3: the R-operator). The adjoint is the loss's gradient in z; where
a link was told none, `pull` is plain backpropagation, which is what the Gauss-Newton matrix takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

Vectors = Sequence[Tensor]


class Link(ABC):
    """One layer at one point. output: z there, [B, ...]."""

    output: Tensor

    @abstractmethod
    def back(self, adjoint: Tensor) -> Tensor:
        """The adjoint of a, [B, ...], from that of z, which the link keeps; at most once."""

    @abstractmethod
    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        """The tangents of z, [B, k, ...], from those of a, and what the way back asks for.

        vectors: a direction for each trained parameter of the chain, [k, *shape].
        """

    @abstractmethod
    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        """The tangents of a's adjoint, [B, k, ...], from those of z's, `pulled`; pushed: what `push` gave."""

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:  # noqa: B027  (most train nothing)
        """Put the products' parts that belong to the link's own parameters, [k, *shape], where they stand."""


class Trained(Link):
    """A link with parameters of its own, which may be all that is trained of what z depends on."""

    @abstractmethod
    def keep(self, adjoint: Tensor) -> None:
        """What `back` does where nothing before this link is trained."""

    @abstractmethod
    def start(self, vectors: Vectors) -> Tensor:
        """The tangents of z, [B, k, ...], that the link's own directions make."""


class Passed(Link):
    """What is given on as it is."""

    def __init__(self, inputs: Tensor) -> None:
        self.output = inputs

    def back(self, adjoint: Tensor) -> Tensor:
        return adjoint

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        return tangent, None

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        return pulled


@dataclass(frozen=True)
class Own:
    """A layer's parameters at the point, None where it has none; the places among the vectors of what is trained."""

    weight: Tensor | None
    bias: Tensor | None
    weight_at: int | None
    bias_at: int | None


@dataclass(frozen=True)
class Bilinear:
    """A map that is linear in its input [B, in, ...] and in its weight [out, in, ...], and its two adjoints.

    apply(input, weight, bias) -> z [B, out, ...]; to_input(adjoint, weight, input's shape); to_weight(adjoint, input,
    weight's shape). Channels stand second, so that those of many inputs, or of many weights, go side by side.
    """

    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    to_input: Callable[[Tensor, Tensor, Sequence[int]], Tensor]
    to_weight: Callable[[Tensor, Tensor, Sequence[int]], Tensor]


LINEAR = Bilinear(
    functional.linear,
    lambda adjoint, weight, shape: adjoint @ weight,
    lambda adjoint, inputs, shape: adjoint.T @ inputs,
)


def convolution(layer: nn.Conv2d) -> Bilinear:
    """That of a convolution without groups, padded with zeros."""
    options: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    return Bilinear(
        lambda inputs, weight, bias: functional.conv2d(inputs, weight, bias, **options),
        lambda adjoint, weight, shape: conv2d_input(shape, weight, adjoint, **options),  # type: ignore[no-untyped-call]
        lambda adjoint, inputs, shape: conv2d_weight(inputs, shape, adjoint, **options),  # type: ignore[no-untyped-call]
    )


class Affine(Trained):
    """A linear or convolutional layer."""

    def __init__(self, of: Bilinear, inputs: Tensor, own: Own) -> None:
        assert own.weight is not None  # noqa: S101  (it has one)
        self._of, self._inputs, self._weight = of, inputs, own.weight
        self._weight_at, self._bias_at = own.weight_at, own.bias_at
        self._adjoint: Tensor | None = None
        self.output = of.apply(inputs, own.weight, own.bias)

    def back(self, adjoint: Tensor) -> Tensor:
        self.keep(adjoint)
        return self._of.to_input(adjoint, self._weight, self._inputs.shape)

    def keep(self, adjoint: Tensor) -> None:
        self._adjoint = adjoint

    def start(self, vectors: Vectors) -> Tensor:
        c = None if self._bias_at is None else vectors[self._bias_at]
        if self._weight_at is None:
            assert c is not None  # noqa: S101  (a link without either is not in this chain's trained part)
            return c.view(1, *c.shape, *[1] * (self.output.ndim - 2)).expand(
                len(self.output), *c.shape, *self.output.shape[2:]
            )
        V = vectors[self._weight_at]
        made = self._of.apply(self._inputs, V.flatten(0, 1), None if c is None else c.flatten())
        return torch.unflatten(made, 1, V.shape[:2])

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        passed = self._of.apply(tangent.flatten(0, 1), self._weight, None)
        passed = torch.unflatten(passed, 0, tangent.shape[:2])
        if self._weight_at is not None or self._bias_at is not None:
            passed = passed.add_(self.start(vectors))
        return passed, tangent

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        (examples, k), shape = pulled.shape[:2], self._inputs.shape[1:]
        passed = self._of.to_input(pulled.flatten(0, 1), self._weight, (examples * k, *shape))
        passed = torch.unflatten(passed, 0, (examples, k))
        if self._adjoint is None or self._weight_at is None:
            return passed
        beside = vectors[self._weight_at].movedim(0, 1).flatten(1, 2)
        own = self._of.to_input(self._adjoint, beside, (examples, k * shape[0], *shape[1:]))
        return passed.add_(torch.unflatten(own, 1, (k, shape[0])))

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:
        k, (out, inside, *window) = pulled.shape[1], self._weight.shape
        if self._weight_at is not None:
            found = self._of.to_weight(pulled.flatten(1, 2), self._inputs, (k * out, inside, *window))
            found = torch.unflatten(found, 0, (k, out))
            if self._adjoint is not None and pushed is not None:
                other = self._of.to_weight(self._adjoint, pushed.flatten(1, 2), (out, k * inside, *window))
                found = found.add_(torch.unflatten(other, 1, (k, inside)).movedim(1, 0))
            products[self._weight_at] = found
        if self._bias_at is not None:
            products[self._bias_at] = pulled.sum((0, *range(3, pulled.ndim)))


class Elementwise(Link):
    """A function of one number, applied to each; its derivatives come from autograd."""

    def __init__(self, function: nn.Module, inputs: Tensor) -> None:
        with torch.enable_grad():
            z = inputs.detach().requires_grad_()
            y = function(z)
            (slope,) = torch.autograd.grad(y.sum(), z, create_graph=True)
        self.output, self._slope = y.detach(), slope.detach()
        self._inputs, self._slope_graph = z, slope
        self._bend: Tensor | None = None

    def back(self, adjoint: Tensor) -> Tensor:
        # Piecewise linear functions have no second derivative.
        if self._slope_graph.requires_grad:
            (self._bend,) = torch.autograd.grad((self._slope_graph * adjoint).sum(), self._inputs)
        return self._slope * adjoint

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        return self._slope.unsqueeze(1) * tangent, tangent

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        passed = self._slope.unsqueeze(1) * pulled
        return passed if self._bend is None else passed.addcmul_(self._bend.unsqueeze(1), pushed)


class Fixed(Link):
    """A linear map without parameters, such as the mean of a window; its adjoint comes from autograd."""

    def __init__(self, function: nn.Module, inputs: Tensor) -> None:
        self._function, self._inputs = function, inputs
        self.output = function(inputs)

    def back(self, adjoint: Tensor) -> Tensor:
        return self._adjoint(*self._applied(self._inputs), adjoint)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        inputs, outputs = self._applied(tangent.flatten(0, 1))
        return torch.unflatten(outputs.detach(), 0, tangent.shape[:2]), (inputs, outputs)

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        inputs, outputs = pushed
        return torch.unflatten(self._adjoint(inputs, outputs, pulled.flatten(0, 1)), 0, pulled.shape[:2])

    def _applied(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_()
            return inputs, self._function(inputs)

    def _adjoint(self, inputs: Tensor, outputs: Tensor, adjoint: Tensor) -> Tensor:
        return torch.autograd.grad(outputs, inputs, adjoint)[0]
