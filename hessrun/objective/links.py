"""The links of a chain of layers at one point: what they do to tangents, and to the tangents of adjoints.

A link maps activations a [B, ...] to z [B, ...]. Beside a there are k tangents of it, [k, B, ...], so that one large
matrix product serves all of them. `push` carries them forward, `pull` carries the tangents of the adjoint of z back to
those of the adjoint of a (Pearlmutter, 1994, section 3: the R-operator). The adjoint is the loss's gradient in z; where
a link was told none, `pull` is plain backpropagation, which is what the Gauss-Newton matrix takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hessrun.objective.bilinear import Bilinear, apart, together

Vectors = Sequence[Tensor]


class Link(ABC):
    """One layer at one point. output: z there, [B, ...]."""

    output: Tensor

    @abstractmethod
    def back(self, adjoint: Tensor) -> Tensor:
        """The adjoint of a, [B, ...], from that of z, which the link keeps; at most once."""

    @abstractmethod
    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        """The tangents of z, [k, B, ...], from those of a, and what the way back asks for.

        vectors: a direction for each trained parameter of the chain, [k, *shape].
        """

    @abstractmethod
    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        """The tangents of a's adjoint, [k, B, ...], from those of z's, `pulled`; pushed: what `push` gave."""

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:  # noqa: B027  (most train nothing)
        """Put the products' parts that belong to the link's own parameters, [k, *shape], where they stand."""


class Trained(Link):
    """A link with parameters of its own, which may be all that is trained of what z depends on."""

    @abstractmethod
    def keep(self, adjoint: Tensor) -> None:
        """What `back` does where nothing before this link is trained."""

    @abstractmethod
    def start(self, vectors: Vectors) -> Tensor:
        """The tangents of z, [k, B, ...], that the link's own directions make."""


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
        return self._of.pull(adjoint.unsqueeze(0), self._weight, self._inputs).squeeze(0)

    def keep(self, adjoint: Tensor) -> None:
        self._adjoint = adjoint

    def start(self, vectors: Vectors) -> Tensor:
        c = None if self._bias_at is None else vectors[self._bias_at]
        if self._weight_at is not None:
            return self._of.apply_each(self._inputs, vectors[self._weight_at], c)
        assert c is not None  # noqa: S101  (a link without either is not in this chain's trained part)
        k, out = c.shape
        return c.view(k, 1, out, *[1] * (self.output.ndim - 2)).expand(k, *self.output.shape)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        passed = self._of.push(tangent, self._weight)
        if self._weight_at is not None or self._bias_at is not None:
            passed = passed.add_(self.start(vectors))
        return passed, tangent

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        passed = self._of.pull(pulled, self._weight, self._inputs)
        if self._adjoint is None or self._weight_at is None:
            return passed
        return passed.add_(self._of.pull_each(self._adjoint, vectors[self._weight_at], self._inputs))

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:
        if self._weight_at is not None:
            found = self._of.to_weight(pulled, self._inputs, self._weight)
            if self._adjoint is not None and pushed is not None:
                found = found.add_(self._of.to_weight_each(self._adjoint, pushed, self._weight))
            products[self._weight_at] = found
        if self._bias_at is not None:
            products[self._bias_at] = pulled.sum((1, *range(3, pulled.ndim)))


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
        return self._slope * tangent, tangent

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        passed = self._slope * pulled
        return passed if self._bend is None else passed.addcmul_(self._bend, pushed)


class Fixed(Link):
    """A linear map without parameters, such as the mean of a window; its adjoint comes from autograd."""

    def __init__(self, function: nn.Module, inputs: Tensor) -> None:
        self._function, self._inputs = function, inputs
        self.output = function(inputs)

    def back(self, adjoint: Tensor) -> Tensor:
        return self._adjoint(*self._applied(self._inputs), adjoint)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        inputs, outputs = self._applied(together(tangent))
        return apart(outputs.detach(), len(tangent)), (inputs, outputs)

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        inputs, outputs = pushed
        return apart(self._adjoint(inputs, outputs, together(pulled)), len(pulled))

    def _applied(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_()
            return inputs, self._function(inputs)

    def _adjoint(self, inputs: Tensor, outputs: Tensor, adjoint: Tensor) -> Tensor:
        return torch.autograd.grad(outputs, inputs, adjoint)[0]
