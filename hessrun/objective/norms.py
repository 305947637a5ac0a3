"""Group norm and layer norm of each example as a link of a chain."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective.bilinear import in_the_order_of
from hessrun.objective.links import Own, Trained, Vectors


class Norm(Trained):
    """z = w u + b, u = (a - mean a) / s over each group of numbers, s = sqrt(var a + eps).

    With P g = g - mean g - u mean(u g), tangents are u' = P a' / s and s' = mean(u a'); the adjoint of a is
    r = P g / s for g that of u, and its tangent (P g' - u' mean(u g) - u mean(u' g) - s' r) / s.
    """

    def __init__(self, layer: nn.GroupNorm | nn.LayerNorm, inputs: Tensor, own: Own) -> None:
        shape, weight, bias = inputs.shape[1:], own.weight, own.bias
        if isinstance(layer, nn.GroupNorm):
            output = functional.group_norm(inputs, layer.num_groups, weight, bias, layer.eps)
            self._groups: tuple[int, ...] = (layer.num_groups, math.prod(shape) // layer.num_groups)
            self._own: tuple[int, ...] = (shape[0],)
            self._at_end = len(shape) - 1
        else:
            output = functional.layer_norm(inputs, layer.normalized_shape, weight, bias, layer.eps)
            self._own, self._at_end = tuple(layer.normalized_shape), 0
            self._groups = (*shape[: len(shape) - len(self._own)], math.prod(self._own))
        self.output = in_the_order_of(inputs, output)
        # Parameters [*own] stand beside activations [..., *own, 1, ...], `at_end` numbers after them.
        self._rest = [d for d in range(len(shape)) if not self._owns(d, len(shape))]
        self._shape, self._weight_at, self._bias_at = shape, own.weight_at, own.bias_at
        self._weight = None if weight is None else self._beside(weight)
        a = self._grouped(inputs)
        variance, mean = torch.var_mean(a, -1, correction=0, keepdim=True)
        self._s = (variance + layer.eps).sqrt()
        self._u = (a - mean) / self._s
        self._adjoint: Tensor | None = None

    def keep(self, adjoint: Tensor) -> None:
        self._adjoint = adjoint
        self._g = self._grouped(self._weighed(adjoint))
        self._r = self._projected(self._g) / self._s

    def back(self, adjoint: Tensor) -> Tensor:
        self.keep(adjoint)
        return self._r.reshape(adjoint.shape)

    def start(self, vectors: Vectors) -> Tensor:
        made = self._u.new_zeros(())
        if self._weight_at is not None:
            made = self._direction(vectors, self._weight_at) * self._unit
        if self._bias_at is not None:
            made = made + self._direction(vectors, self._bias_at)
        return made.expand(len(vectors[0]), *self.output.shape)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        a = self._grouped(tangent)
        slope = (self._u * a).mean(-1, keepdim=True)
        u = (a - a.mean(-1, keepdim=True)).addcmul_(self._u, slope, value=-1).div_(self._s)
        passed = self._weighed(u.reshape(tangent.shape))
        if self._weight_at is not None or self._bias_at is not None:
            passed = passed + self.start(vectors)
        return passed, (u, slope)

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        g = self._weighed(pulled)
        if self._adjoint is None:
            return (self._projected(self._grouped(g)) / self._s).reshape(pulled.shape)
        if self._weight_at is not None:
            g = g + self._direction(vectors, self._weight_at) * self._adjoint
        u, slope = pushed
        passed = self._projected(self._grouped(g))
        passed.addcmul_(u, (self._u * self._g).mean(-1, keepdim=True), value=-1)
        passed.addcmul_(self._u, (u * self._g).mean(-1, keepdim=True), value=-1)
        return passed.addcmul_(slope, self._r, value=-1).div_(self._s).reshape(pulled.shape)

    def collect(self, pulled: Tensor, pushed: Any, products: list[Tensor]) -> None:
        if self._weight_at is not None:
            found = pulled * self._unit
            if self._adjoint is not None and pushed is not None:
                found = found + self._adjoint * pushed[0].reshape(pulled.shape)
            products[self._weight_at] = self._summed(found)
        if self._bias_at is not None:
            products[self._bias_at] = self._summed(pulled)

    @property
    def _unit(self) -> Tensor:
        """u in the activations' shape, [B, ...]."""
        return self._u.reshape(self.output.shape)

    def _grouped(self, values: Tensor) -> Tensor:
        """[..., *shape of an example] -> [..., *groups], each group along the last dimension."""
        return values.reshape(*values.shape[: values.ndim - len(self._shape)], *self._groups)

    def _projected(self, g: Tensor) -> Tensor:
        return (g - g.mean(-1, keepdim=True)).addcmul_(self._u, (self._u * g).mean(-1, keepdim=True), value=-1)

    def _weighed(self, values: Tensor) -> Tensor:
        return values if self._weight is None else self._weight * values

    def _beside(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(*parameter.shape, *[1] * self._at_end)

    def _direction(self, vectors: Vectors, place: int) -> Tensor:
        """[k, 1, ..., *own, 1, ...], beside activations [k, B, ...]."""
        before = [1] * (len(self._shape) - len(self._own) - self._at_end)
        k = len(vectors[place])
        return vectors[place].reshape(k, 1, *before, *self._own, *[1] * self._at_end)

    def _owns(self, dimension: int, dimensions: int) -> bool:
        end = dimensions - self._at_end
        return end - len(self._own) <= dimension < end

    def _summed(self, values: Tensor) -> Tensor:
        """Over examples and positions: [k, B, ...] -> [k, *own]."""
        return values.sum((1, *(2 + d for d in self._rest)))
