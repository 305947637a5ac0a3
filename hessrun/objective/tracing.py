"""A module with a forward of its own as the sequence of torch's layers that it calls, where it is one.

The forward pass is run once on symbols (torch.fx), which shows what is called on what. Anything but one thing after the
other, as a branch, a sum of two paths or a parameter that is used bare, is no sequence.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

Layers = list[tuple[str, nn.Module]]


def called_layers(module: nn.Module) -> Layers | None:
    """The layers that the forward pass of `module` calls one after the other, each with its name; None if it does more.

    Functions of torch are given as the layers that do the same, with the name "". None also where the pass depends on
    values, where a layer with parameters is called twice, and where a parameter takes no part.
    """
    try:
        graph = fx.Tracer().trace(module)
    # A forward may do anything with a symbol, and fail in any way.
    except Exception:  # noqa: BLE001
        return None
    layers: Layers = []
    current: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder" and current is None:
            current = node
        elif node.op == "output":
            return layers if node.args == (current,) and _each_once(module, layers) else None
        elif not _is_count(node, current):
            if current is None or not node.args or node.args[0] is not current:
                return None
            layer = _layer(module, node)
            if layer is None:
                return None
            layers.append((str(node.target) if node.op == "call_module" else "", layer))
            current = node
    return None


def _each_once(module: nn.Module, layers: Layers) -> bool:
    """Whether the layers' parameters are the module's, no less and no more."""
    taken = [f"{name}.{own}" for name, layer in layers for own, _ in layer.named_parameters(recurse=False)]
    return sorted(taken) == sorted(name for name, _ in module.named_parameters(remove_duplicate=False))


def _is_count(node: fx.Node, current: fx.Node | None) -> bool:
    """The number of examples, as a forward asks for it to flatten the rest: x.size(0), or x.shape and x.shape[0]."""
    if node.op == "call_method":
        return node.target == "size" and node.args == (current, 0)
    if node.target is operator.getitem:
        shape, index = node.args
        return isinstance(shape, fx.Node) and _is_shape(shape, current) and index in (0,)
    return _is_shape(node, current)


def _is_shape(node: fx.Node, current: fx.Node | None) -> bool:
    return node.target is getattr and node.args == (current, "shape")


def _layer(module: nn.Module, node: fx.Node) -> nn.Module | None:
    """What the node does as a layer of torch; None where there is none."""
    if node.op == "call_module":
        return module.get_submodule(str(node.target)) if len(node.args) == 1 and not node.kwargs else None
    make = (_METHODS if node.op == "call_method" else _FUNCTIONS).get(node.target)
    try:
        return None if make is None else make(*node.args[1:], **node.kwargs)
    # A call that is none of the function's, or has a symbol among its numbers.
    except (TypeError, ValueError):
        return None


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
}
_FUNCTIONS: Mapping[Any, Callable[..., nn.Module | None]] = {
    torch.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    torch.flatten: _flatten,
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
