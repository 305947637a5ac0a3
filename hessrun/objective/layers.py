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
# What is propagated at a time holds at most half a Hessian, or this many numbers where that is more.
_NUMBERS_PER_CHUNK = 2**22


@dataclass(frozen=True)
class _Layer:
    """A Linear layer; its trained parameters stand in the flat vector from `weight` and `bias` on (None: frozen)."""

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

    def pieces(self, output: int | None = None) -> Iterator[tuple[slice, slice]]:
        """For each parameter, where it stands in the flat vector (of one output, or of all) and its entries of u."""
        starts = ((self.weight, slice(0, self.n_inputs)), (self.bias, slice(self.n_inputs, self.length)))
        for start, entries in starts:
            if start is not None:
                count = entries.stop - entries.start
                first, outputs = (start, self.width) if output is None else (start + output * count, 1)
                yield slice(first, first + outputs * count), entries


@dataclass(frozen=True)
class _Call:
    """A call of a layer: its input [B, in_features] and the perturbation of its output, [B, out_features]."""

    layer: _Layer
    seen: Tensor
    shift: Tensor

    def fits(self, examples: int) -> bool:
        return self.seen.ndim == 2 and len(self.seen) == examples


class LayeredHessian:
    """The Hessian of the mean loss of a network whose trained parameters all sit in Linear layers; made by `inspect`.

    dim: n, the number of trained parameters; columns: K, the sum of the layers' widths, which is what is propagated.
    """

    def __init__(self, module: nn.Module, layers: list[_Layer]) -> None:
        self._module, self._layers = module, layers
        self.dim = sum(layer.width * layer.length for layer in layers)
        self.columns = sum(layer.width for layer in layers)

    @classmethod
    def inspect(cls, module: nn.Module, inputs: Tensor) -> "LayeredHessian | None":
        """The way by layers for `module`, judged on the first of `inputs` [N, ...]; None where it does not apply.

        It applies where every trained parameter is the weight or bias of one nn.Linear that is called exactly once,
        on [examples, features]; around the layers anything may stand. What only the numbers show (examples that are
        mixed, a weight that is used elsewhere too) is for `agrees` to find.
        """
        layers = _linear_layers(module)
        if not layers:
            return None
        sample = inputs[:_SAMPLE]
        with torch.no_grad():
            _, calls = _forward(module, layers, {}, sample)
        once = len(calls) == len(layers) == len({id(call.layer) for call in calls})
        if not once or not all(call.fits(len(sample)) for call in calls):
            return None
        return cls(module, [call.layer for call in calls])

    def hessian(
        self,
        parameters: Mapping[str, Tensor],
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        *,
        chunk_size: int | None = None,
    ) -> Tensor | None:
        """The Hessian of loss(module(inputs), targets) in the trained parameters, [n, n], symmetric to the last bit.

        parameters: the trained parameters by name, at the point; their order in x is that of
        `module.named_parameters()`, each row-major. loss: a mean over its examples, and so is the Hessian: no weight
        decay is added. chunk_size: propagate at most so many examples at a time, besides the bound from n that keeps
        the whole within four matrices [n, n].

        None where the module calls its layers otherwise than it did for `inspect`. The module, its gradients, mode,
        hooks and buffers, and the random state are left as they were.
        """
        sums = _Sums(self._layers, inputs, self.dim, next(iter(parameters.values())).dtype)
        constants = {name: tensor.detach() for name, tensor in parameters.items()}
        size = min(chunk_size or len(inputs), self._chunk_size())
        for some, wanted in zip(torch.split(inputs, size), torch.split(targets, size), strict=True):
            with torch.enable_grad():
                outputs, calls = _forward(self._module, self._layers, constants, some)
                if [call.layer for call in calls] != self._layers or not all(call.fits(len(some)) for call in calls):
                    return None
                gradients = _gradients(loss(outputs, wanted) * (len(some) / len(inputs)), calls)
            sums.add(calls, gradients)
        return sums.hessian()

    def _chunk_size(self) -> int:
        above = per_example = 0
        for layer in self._layers:
            per_example += (layer.width + layer.n_inputs) * above + layer.width**2
            above += layer.width
        return max(1, max(self.dim**2 // 2, _NUMBERS_PER_CHUNK) // per_example)


def agrees(hessian: Tensor, curvature: Curvature, generator: torch.Generator | None = None) -> bool:
    """Whether a Hessian [n, n] gives the same product as `curvature` with one random vector (seeded 0 by default).

    Two different matrices agree with probability 0, up to rounding: |H v - C v| <= eps^0.4 |C v|, which is 5e-7 in
    float64 and 2e-3 in float32, where near interpolation exact products differ by as much. Not a number agrees with
    itself. The product is counted on the curvature's objective.
    """
    generator = generator or torch.Generator().manual_seed(0)
    vector = torch.randn(len(hessian), generator=generator, dtype=hessian.dtype).to(hessian.device)
    expected = curvature @ vector
    difference = torch.linalg.vector_norm(hessian @ vector - expected)
    bound = torch.finfo(hessian.dtype).eps ** 0.4 * torch.linalg.vector_norm(expected)
    return bool((difference <= bound) | ~torch.isfinite(bound))


def _linear_layers(module: nn.Module) -> list[_Layer] | None:
    """The Linear layers with trained parameters; None where such a parameter sits elsewhere, or in two places."""
    starts: dict[int, int] = {}
    end = 0
    for parameter in module.parameters():
        if parameter.requires_grad:
            starts[id(parameter)] = end
            end += parameter.numel()
    layers: list[_Layer] = []
    for part in module.modules():
        own = {name: p for name, p in part.named_parameters(recurse=False) if p.requires_grad}
        if not own:
            continue
        # A subclass may compute anything, and so may a layer whose weight is made from other parameters.
        if type(part) is not nn.Linear or not own.keys() <= {"weight", "bias"}:
            return None
        places = {name: starts.pop(id(parameter), None) for name, parameter in own.items()}
        if None in places.values():
            return None
        layers.append(_Layer(part, places.get("weight"), places.get("bias")))
    return layers


def _forward(
    module: nn.Module, layers: list[_Layer], parameters: Mapping[str, Tensor], inputs: Tensor
) -> tuple[Tensor, list[_Call]]:
    """The module's outputs with a perturbation, zero, added to each layer's output, and the layers' calls in order."""
    calls: list[_Call] = []

    def shift(layer: _Layer) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def add(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            shift = torch.zeros_like(output, requires_grad=torch.is_grad_enabled())
            calls.append(_Call(layer, args[0] if args else output.new_empty(0), shift))
            return output + shift

        return add

    # Buffers are copies, since a module may write to them; the random state is put back.
    state = {**parameters, **{name: buffer.clone() for name, buffer in module.named_buffers()}}
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with ExitStack() as hooks, torch.random.fork_rng(devices=devices):
        for layer in layers:
            # First of all hooks: the perturbation belongs to the layer's own output.
            hooks.callback(layer.module.register_forward_hook(shift(layer), prepend=True).remove)
        return torch.func.functional_call(module, state, (inputs,)), calls


def _gradients(value: Tensor, calls: list[_Call]) -> list[Tensor]:
    """The gradient of a sum over examples in each perturbation, [B, out_features], with its graph."""
    if not value.requires_grad:
        return [torch.zeros_like(call.shift) for call in calls]
    return list(
        torch.autograd.grad(
            value, [call.shift for call in calls], create_graph=True, allow_unused=True, materialize_grads=True
        )
    )


def _jacobian(values: Tensor, calls: list[_Call]) -> list[Tensor | None]:
    """The Jacobian of values [B, m] in each call's perturbation [B, p], example by example, [m, p, B]; None for zero.

    Examples do not mix, so that one backward pass gives a row for all of them.
    """
    if not calls or not values.requires_grad:
        return [None for _ in calls]
    examples, rows = values.shape
    jacobians: list[Tensor | None] = [None for _ in calls]
    one = torch.zeros_like(values)
    for row in range(rows):
        one[:, row] = 1
        parts = torch.autograd.grad(values, [call.shift for call in calls], one, retain_graph=True, allow_unused=True)
        one[:, row] = 0
        for place, part in enumerate(parts):
            if part is not None:
                jacobian = jacobians[place]
                if jacobian is None:
                    jacobian = jacobians[place] = values.new_zeros(rows, part.shape[1], examples)
                jacobian[row] = part.T
    return jacobians


class _Sums:
    """The blocks k <= l of the Hessian, summed over examples."""

    def __init__(self, layers: list[_Layer], inputs: Tensor, dim: int, dtype: torch.dtype) -> None:
        self._layers, self._dim, self._dtype, self._device = layers, dim, dtype, inputs.device
        self._own = [SymmetricSum(layer.width, layer.length, dtype, inputs.device) for layer in layers]
        self._cross = {
            (row, column): CrossSum(lower.width, lower.length, upper.width, upper.length, dtype, inputs.device)
            for row, lower in enumerate(layers)
            for column, upper in enumerate(layers[:row])
        }

    def add(self, calls: list[_Call], gradients: list[Tensor]) -> None:
        """Add a chunk of examples, given the gradients in the perturbations with their graphs."""
        vectors = [call.layer.vector(call.seen) for call in calls]
        for row, call in enumerate(calls):
            second = _jacobian(gradients[row], calls[: row + 1])
            inputs = _jacobian(call.seen, calls[:row]) if call.layer.n_inputs else [None] * row
            own = second[row]
            if own is not None:
                self._own[row].add(own, vectors[row])
            for column in range(row):
                cross, block, jacobian = self._cross[row, column], second[column], inputs[column]
                if block is not None:
                    cross.add(block, vectors[row], vectors[column])
                if jacobian is not None:
                    cross.add_jacobian(gradients[row].detach().T, jacobian, vectors[column])

    def hessian(self) -> Tensor:
        """The matrix [n, n]; each block is released once it is written."""
        hessian = torch.empty(self._dim, self._dim, dtype=self._dtype, device=self._device)
        for row in reversed(range(len(self._layers))):
            lower = self._layers[row]
            for column in range(row + 1):
                upper = self._layers[column]
                block = self._own.pop() if column == row else self._cross.pop((row, column))
                for output in range(lower.width):
                    values = block.rows(output)
                    for rows, entries in lower.pieces(output):
                        for columns, others in upper.pieces():
                            part = values[entries, :, others].reshape(rows.stop - rows.start, -1)
                            hessian[rows, columns] = part
                            if column < row:
                                hessian[columns, rows] = part.T
        return hessian
