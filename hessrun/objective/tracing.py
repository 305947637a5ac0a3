"""A module as the layers of torch that its forward pass calls, and what each of them is called on.

The forward pass is run once on symbols (torch.fx), which shows both. Sums of what earlier layers gave belong to it; a
parameter that is used bare, a product of two paths or a choice by value do not.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from hessrun.objective.attention import AttentionHeads, is_plain, projections_of

_SUMS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Call:
    """A layer, called on the sum of what its sources gave.

    name: of the layer in the module, with a dot where it is not empty; "" for a function, given as the layer that does
    the same. sources: positions of earlier calls, -1 being the module's input.
    """

    name: str
    layer: nn.Module
    sources: tuple[int, ...]


def called_layers(module: nn.Module) -> list[Call] | None:
    """What the forward pass of `module` calls, the last being what it returns; None if it does anything else.

    None also where the pass depends on values, where a layer with parameters is called twice, where a parameter is
    shared or takes no part, and where a call's result is not used.
    """
    try:
        graph = fx.Tracer().trace(module)
    # A forward may do anything with a symbol, and fail in any way.
    except Exception:  # noqa: BLE001
        return None
    calls: list[Call] = []
    places: dict[fx.Node, int] = {}
    attended: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder" and not places:
            places[node] = -1
        elif node.op == "output":
            is_last = _place(node.args[0], places) == len(calls) - 1
            return calls if is_last and _all_used(calls) and _each_once(module, calls) else None
        elif node.target is operator.getitem and node.args[0] in attended:
            # The weights have no place: whatever asks for them is no layer known here.
            if node.args[1] == 0:
                places[node] = attended[node.args[0]]
        elif (attention := _attention(module, node, places, len(calls))) is not None:
            calls += attention
            attended[node] = len(calls) - 1
        elif not _is_count(node, places):
            call = _call(module, node, places)
            if call is None:
                return None
            places[node] = len(calls)
            calls.append(call)
    return None


def _attention(module: nn.Module, node: fx.Node, places: Mapping[fx.Node, int], at: int) -> list[Call] | None:
    """Self-attention without masks as three calls, the first of which is the `at`-th; None for anything else."""
    if node.op != "call_module" or node.kwargs.keys() - {"need_weights", "average_attn_weights"}:
        return None
    layer, source = module.get_submodule(str(node.target)), _place(node.args[0], places)
    if type(layer) is not nn.MultiheadAttention or not is_plain(layer):
        return None
    if source is None or len(node.args) != 3 or any(part is not node.args[0] for part in node.args):
        return None
    before, after = projections_of(layer)
    return [
        Call(f"{node.target}.in_proj_", before, (source,)),
        Call("", AttentionHeads(layer.num_heads), (at,)),
        Call(f"{node.target}.out_proj.", after, (at + 1,)),
    ]


def _all_used(calls: list[Call]) -> bool:
    used = {source for call in calls for source in call.sources}
    return used >= set(range(len(calls) - 1))


def _each_once(module: nn.Module, calls: list[Call]) -> bool:
    """Whether the layers' parameters are the module's, no less and no more: a shared one is the module's once."""
    taken = [f"{call.name}{own}" for call in calls for own, _ in call.layer.named_parameters(recurse=False)]
    return sorted(taken) == sorted(name for name, _ in module.named_parameters())


def _is_count(node: fx.Node, places: Mapping[fx.Node, int]) -> bool:
    """The number of examples, as a forward asks for it to flatten the rest: x.size(0), or x.shape and x.shape[0]."""
    if node.op == "call_method":
        return node.target == "size" and _place(node.args[0], places) is not None and node.args[1:] == (0,)
    if node.target is operator.getitem:
        shape, index = node.args
        return isinstance(shape, fx.Node) and _is_shape(shape, places) and index in (0,)
    return _is_shape(node, places)


def _is_shape(node: fx.Node, places: Mapping[fx.Node, int]) -> bool:
    return node.target is getattr and _place(node.args[0], places) is not None and node.args[1:] == ("shape",)


def _place(argument: object, places: Mapping[fx.Node, int]) -> int | None:
    return places.get(argument) if isinstance(argument, fx.Node) else None


def _call(module: nn.Module, node: fx.Node, places: Mapping[fx.Node, int]) -> Call | None:
    """What the node does as a layer of torch; None where there is none."""
    is_sum = node.target in ("add", "add_") if node.op == "call_method" else node.target in _SUMS
    on, rest = (node.args, ()) if is_sum else (node.args[:1], node.args[1:])
    sources = tuple(place for part in on if (place := _place(part, places)) is not None)
    if not on or len(sources) < len(on) or (is_sum and node.kwargs):
        return None
    if is_sum:
        return Call("", nn.Identity(), sources)
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return None if rest or node.kwargs else Call(f"{node.target}.", layer, sources)
    make = (_METHODS if node.op == "call_method" else _FUNCTIONS).get(node.target)
    try:
        made = None if make is None else make(*rest, **node.kwargs)
    # A call that is none of the function's, or has a symbol among its numbers.
    except (TypeError, ValueError):
        return None
    return None if made is None else Call("", made, sources)


def _activation(make: Callable[..., nn.Module], *names: str) -> Callable[..., nn.Module]:
    """A function's further arguments by position, of which the last is `inplace`: it makes no difference to values."""

    def made(*values: Any, **options: Any) -> nn.Module:
        return make(**dict(zip([*names, "inplace"], values, strict=False)), **options)

    return made


def _max_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module:
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p, inplace).train(training)


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


class LinearMap(nn.Module):
    """A linear map of each example, given as a function, as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self._function(inputs)


def _mean(dim: int | tuple[int, ...], keepdim: bool = False) -> nn.Module | None:
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    return None if 0 in dims else LinearMap(lambda inputs: inputs.mean(dims, keepdim))


def _transposed(one: int, other: int) -> nn.Module | None:
    return None if 0 in (one, other) else LinearMap(lambda inputs: inputs.transpose(one, other))


def _permuted(*dims: Any) -> nn.Module | None:
    order = dims[0] if len(dims) == 1 else dims
    return LinearMap(lambda inputs: inputs.permute(order)) if order[0] == 0 else None


def _selected(index: Any) -> nn.Module | None:
    """x[:, 0] and the like: all examples, and numbers or slices of numbers after them."""
    if not isinstance(index, tuple) or index[0] != slice(None) or not all(_is_constant(part) for part in index[1:]):
        return None
    return LinearMap(lambda inputs: inputs[index])


def _is_constant(part: object) -> bool:
    if isinstance(part, slice):
        return all(bound is None or isinstance(bound, int) for bound in (part.start, part.stop, part.step))
    return isinstance(part, int)


def _view(*sizes: Any) -> nn.Module | None:
    """Of x.view(count, -1) and the like; whether a number stands for the rest is seen from the values."""
    count, *rest = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if not (count == -1 or isinstance(count, fx.Node)) or any(isinstance(size, fx.Node) for size in rest):
        return None
    return nn.Flatten() if len(rest) == 1 else nn.Unflatten(1, tuple(rest))


_METHODS: Mapping[Any, Callable[..., nn.Module | None]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "mean": _mean,
    "transpose": _transposed,
    "permute": _permuted,
    "contiguous": nn.Identity,
}
_FUNCTIONS: Mapping[Any, Callable[..., nn.Module | None]] = {
    torch.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    torch.flatten: _flatten,
    torch.mean: _mean,
    torch.transpose: _transposed,
    torch.permute: _permuted,
    operator.getitem: _selected,
    functional.relu: _activation(nn.ReLU),
    functional.tanh: nn.Tanh,
    functional.sigmoid: nn.Sigmoid,
    functional.gelu: nn.GELU,
    functional.silu: _activation(nn.SiLU),
    functional.mish: _activation(nn.Mish),
    functional.selu: _activation(nn.SELU),
    functional.elu: _activation(nn.ELU, "alpha"),
    functional.celu: _activation(nn.CELU, "alpha"),
    functional.leaky_relu: _activation(nn.LeakyReLU, "negative_slope"),
    functional.softplus: nn.Softplus,
    functional.softsign: nn.Softsign,
    functional.logsigmoid: nn.LogSigmoid,
    functional.max_pool2d: _max_pool,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.dropout: _dropout,
}
