"""The exact Hessian of a network by layers, many times faster than by products.

Where every parameter sits in a Linear layer that is called once on one vector per example, let u_l = [input of layer
l; 1], add a perturbation e_l to the layer's output, and let D be the Hessian of one example's loss in all e, and g its
gradient. Then, with layers numbered as they are called,

    H[l, k] = 1/N sum_b  D_lk (x) u_l u_k'  +  g_l (x) (du_l/de_k) u_k'    for k <= l,    H[k, l] = H[l, k]'.

D takes one backward pass per output of a Linear layer, K in all, where products take n.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessrun.linalg.kronecker_sums import CrossSum, SymmetricSum
from hessrun.objective.base import Curvature

Loss = Callable[[Tensor, Tensor], Tensor]

# So few examples are enough to see which layer is called how often, and on what shape.
_SAMPLE = 3


@dataclass(frozen=True)
class _Layer:
    """A Linear layer; its trained parameters stand in the flat vector from `weight` and `bias` on (None: frozen)."""

    name: str
    module: nn.Linear
    weight: int | None
    bias: int | None

    @property
    def width(self) -> int:
        return self.module.out_features

    @property
    def n_inputs(self) -> int:
        """The entries of u that belong to the weight."""
        return 0 if self.weight is None else self.module.in_features

    @property
    def length(self) -> int:
        """The entries of u = [input; 1], less what is frozen."""
        return self.n_inputs + (self.bias is not None)

    def vector(self, seen: Tensor) -> Tensor:
        """u, [length, B], from the layer's input [B, in_features]."""
        ones = seen.new_ones(self.length - self.n_inputs, len(seen))
        return torch.cat([seen.detach().T[: self.n_inputs], ones])

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """Each parameter: where it starts in the flat vector, and its entries of u for one output."""
        if self.weight is not None:
            yield self.weight, slice(0, self.n_inputs)
        if self.bias is not None:
            yield self.bias, slice(self.n_inputs, self.length)


@dataclass(frozen=True)
class _Pass:
    """One forward pass: outputs [B, ...], and for each layer its input [B, in] and the perturbation [B, out]."""

    outputs: Tensor
    seen: list[Tensor]
    shifts: list[Tensor]


class LayeredHessian:
    """The Hessian of the mean loss of a network whose parameters all sit in Linear layers; made by `inspect`.

    columns: K, the sum of the layers' widths, which is what is propagated; dim: n, the trained parameters.
    """

    def __init__(self, module: nn.Module, layers: list[_Layer]) -> None:
        self._module, self._layers = module, layers
        self.columns = sum(layer.width for layer in layers)
        self.dim = sum(layer.width * layer.length for layer in layers)

    @classmethod
    def inspect(cls, module: nn.Module, inputs: Tensor) -> "LayeredHessian | None":
        """The way by layers for `module`, judged on the first of `inputs` [N, ...]; None where it does not apply.

        It applies where every trained parameter is the weight or bias of one nn.Linear that is called exactly once,
        on [examples, features]. What only the numbers show (examples that are mixed, a weight used elsewhere as well)
        is for `agrees` to find.
        """
        layers = _linear_layers(module)
        if layers is None or not layers:
            return None
        order: list[_Layer] = []
        with ExitStack() as hooks, torch.no_grad():
            for layer in layers:

                def note(_: nn.Module, args: tuple[Tensor, ...], output: Tensor, layer: _Layer = layer) -> None:
                    if len(args) == 1 and args[0].ndim == 2 and len(args[0]) == len(sample):
                        order.append(layer)

                hooks.callback(layer.module.register_forward_hook(note, prepend=True).remove)
            sample = inputs[:_SAMPLE]
            _call(module, {}, sample)
        fits = len(order) == len(layers) and {id(layer) for layer in order} == {id(layer) for layer in layers}
        return cls(module, order) if fits else None
