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
from functools import partial

import torch
from torch import Tensor, nn

from hessrun.linalg.kronecker_sums import CrossSum, SymmetricSum
from hessrun.linalg.random import normal
from hessrun.objective.base import Curvature
from hessrun.objective.examples import Examples

Loss = Callable[[Tensor, Tensor], Tensor]

# So few examples are enough to see which layer is called how often, and on what shape.
_SAMPLE = 3
_FEWEST_EXAMPLES = 64
# The product with a random vector may differ by this many rounding errors of n additions, relative to its norm; or by
# a share that no wrong Hessian comes near, since close to interpolation (p - y of a softmax cancels) the two ways
# lose different digits: in float64 they differ by 1e-11 at a loss of about 1e-7, and by 1e-6 at about 1e-12.
_ROUNDINGS = 1e3
_LEAST_ALLOWED = 1e-6


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


class _UnfitError(Exception):
    """The module calls a layer twice, or not on [examples, features]."""


class _Watch:
    """Hooks that note each layer's input [B, in] and add a perturbation of zeros, [B, out], to its output."""

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self.layers: list[_Layer] = []
        self.seen: list[Tensor] = []
        self.shifts: list[Tensor] = []

    def hook(self, layer: _Layer, _: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if len(args) != 1 or args[0].ndim != 2 or len(args[0]) != self._examples or layer in self.layers:
            raise _UnfitError
        shift = torch.zeros_like(output, requires_grad=torch.is_grad_enabled())
        self.layers.append(layer)
        self.seen.append(args[0].clone())  # what follows may write into it
        self.shifts.append(shift)
        return output + shift


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
        if not layers:
            return None
        sample = inputs[:_SAMPLE]
        try:
            with torch.no_grad():
                watch = _watched_call(module, layers, {}, sample)[1]
        except _UnfitError:
            return None
        return cls(module, watch.layers) if len(watch.layers) == len(layers) else None

    def hessian(
        self, parameters: Mapping[str, Tensor], loss: Loss, examples: Examples, *, chunk_size: int
    ) -> Tensor | None:
        """The Hessian [n, n] of the mean of `loss` over all examples, symmetric to the last bit.

        parameters: the trained ones by name; loss: (outputs [B, ...], targets [B, ...]) -> the mean over B examples.
        chunk_size: the most of the examples that go through the module at once.
        None where the module calls its layers otherwise at these parameters than it did at the inspection.
        """
        named = {name: value.detach() for name, value in parameters.items()}
        like = next(iter(named.values()))
        diagonal = [SymmetricSum(a.width, a.length, like.dtype, like.device) for a in self._layers]
        cross = {
            (i, j): CrossSum(a.width, a.length, b.width, b.length, like.dtype, like.device)
            for i, a in enumerate(self._layers)
            for j, b in enumerate(self._layers[:i])
        }
        size = min(chunk_size, max(_FEWEST_EXAMPLES, self.dim**2 // self._numbers_per_example))
        for some, labels in examples.chunks(size):
            try:
                self._add(diagonal, cross, named, lambda o, y=labels: len(y) * loss(o, y), some)  # type: ignore[misc]
            except _UnfitError:
                return None
        return self._assembled(diagonal, cross, like).div_(len(examples))

    @property
    def _numbers_per_example(self) -> int:
        """What the second derivatives of one example take."""
        return sum(
            a.width * b.width + a.n_inputs * b.width for i, a in enumerate(self._layers) for b in self._layers[: i + 1]
        )

    def _add(
        self,
        diagonal: list[SymmetricSum],
        cross: dict[tuple[int, int], CrossSum],
        named: Mapping[str, Tensor],
        total_loss: Callable[[Tensor], Tensor],
        inputs: Tensor,
    ) -> None:
        with torch.enable_grad():
            outputs, watch = _watched_call(self._module, self._layers, named, inputs)
            # A part of the pass may be under no_grad, whose weights are trained and yet make no difference.
            if watch.layers != self._layers or not all(shift.requires_grad for shift in watch.shifts):
                raise _UnfitError
            gradients = torch.autograd.grad(
                total_loss(outputs), watch.shifts, create_graph=True, allow_unused=True, materialize_grads=True
            )
        vectors = [layer.vector(seen) for layer, seen in zip(self._layers, watch.seen, strict=True)]
        for i, (layer, gradient) in enumerate(zip(self._layers, gradients, strict=True)):
            blocks = _jacobians(gradient, watch.shifts[: i + 1])
            own = blocks[i]
            if own is not None:
                diagonal[i].add(own, vectors[i])
            jacobians = _jacobians(watch.seen[i], watch.shifts[:i]) if layer.weight is not None else [None] * i
            for j in range(i):
                block, jacobian = blocks[j], jacobians[j]
                if block is not None:
                    cross[i, j].add(block, vectors[i], vectors[j])
                if jacobian is not None:
                    cross[i, j].add_jacobian(gradient.detach().T, jacobian, vectors[j])

    def _assembled(self, diagonal: list[SymmetricSum], cross: dict[tuple[int, int], CrossSum], like: Tensor) -> Tensor:
        H = torch.empty(self.dim, self.dim, dtype=like.dtype, device=like.device)
        for i, a in enumerate(self._layers):
            for o in range(a.width):
                _write(H, a, o, a, diagonal[i].rows(o))
                for j, b in enumerate(self._layers[:i]):
                    rows = cross[i, j].rows(o)
                    _write(H, a, o, b, rows)
                    _write(H.T, a, o, b, rows)
        return H


def _write(H: Tensor, layer: _Layer, o: int, other: _Layer, rows: Tensor) -> None:
    """Put rows [length, width', length'], those of output o of `layer`, where the parameters stand."""
    for start, part in layer.pieces():
        count = part.stop - part.start
        place = H[start + o * count : start + (o + 1) * count]
        for other_start, other_part in other.pieces():
            other_count = other_part.stop - other_part.start
            columns = place[:, other_start : other_start + other.width * other_count]
            columns.view(count, other.width, other_count).copy_(rows[part][:, :, other_part])


def _jacobians(values: Tensor, shifts: list[Tensor]) -> list[Tensor | None]:
    """d values / d shift of each example, one [features, width, B] a shift; None where it vanishes identically.

    values: [B, features], shifts: [B, width] each. Examples do not mix, so one backward pass serves all of them.
    """
    if not values.requires_grad or not shifts:
        return [None] * len(shifts)
    found: list[Tensor | None] = [None] * len(shifts)
    # A scalar needs no vector to start from: given one, torch imports its symbolic shapes, a third of a second.
    sums = values.sum(0)
    for row in range(values.shape[1]):
        parts = torch.autograd.grad(sums[row], shifts, retain_graph=True, allow_unused=True)
        for j, part in enumerate(parts):
            if part is None:
                continue
            block = found[j]
            if block is None:
                block = found[j] = part.new_zeros(values.shape[1], part.shape[1], len(part))
            block[row] = part.T
    return found


def _watched_call(
    module: nn.Module, layers: list[_Layer], parameters: Mapping[str, Tensor], inputs: Tensor
) -> tuple[Tensor, _Watch]:
    """The outputs, and what the hooks saw; the module's buffers, hooks and the random numbers stay as they are."""
    watch = _Watch(len(inputs))
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with ExitStack() as hooks, torch.random.fork_rng(devices=devices):
        for layer in layers:
            handle = layer.module.register_forward_hook(partial(watch.hook, layer))
            hooks.callback(handle.remove)
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return torch.func.functional_call(module, {**parameters, **buffers}, (inputs,)), watch


def _linear_layers(module: nn.Module) -> list[_Layer] | None:
    """The Linear layers that hold the trained parameters; None where one sits elsewhere or is shared."""
    offsets: dict[str, int] = {}
    n = 0
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            offsets[name] = n
            n += parameter.numel()
    if len(offsets) != sum(parameter.requires_grad for parameter in module.parameters()):
        return None
    layers = []
    for name, part in module.named_modules():
        # A subclass may compute something else.
        if type(part) is nn.Linear:
            prefix = f"{name}." if name else ""
            weight, bias = offsets.pop(f"{prefix}weight", None), offsets.pop(f"{prefix}bias", None)
            if weight is not None or bias is not None:
                layers.append(_Layer(name, part, weight, bias))
    return None if offsets else layers


def agrees(hessian: Tensor, curvature: Curvature, generator: torch.Generator) -> bool:
    """Whether H [n, n] gives the product of `curvature` with one random vector v, up to rounding; counts nothing.

    |H v - C v| <= max(1e-6, 1000 eps sqrt(n)) (|H|_F + |C v|). A matrix of another function differs by far more.
    """
    n = len(hessian)
    vector = normal(n, generator=generator, dtype=hessian.dtype).to(hessian.device)
    expected = curvature._product(vector)
    allowed = max(_LEAST_ALLOWED, _ROUNDINGS * torch.finfo(hessian.dtype).eps * n**0.5)
    error = torch.linalg.vector_norm(hessian @ vector - expected)
    scale = torch.linalg.vector_norm(hessian) + torch.linalg.vector_norm(expected)
    return bool(error <= allowed * scale)
