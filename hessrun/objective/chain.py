"""Products with the curvature of a chain of plain layers, without a graph: two passes of matrix products each.

Where a module applies linear and convolutional layers, functions of one number and maps without parameters that are
linear at a point one after the other, the derivative of the gradient along v is written down layer by layer
(Pearlmutter, 1994). Double backward computes the
same with about twice the operations, and convolutions by kernels that are slower.
"""

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessrun.objective.links import LINEAR, Affine, Bilinear, Elementwise, Fixed, Link, convolution
from hessrun.objective.output_curvature import Loss, OutputLoss, output_loss
from hessrun.objective.products import in_shapes
from hessrun.objective.tracing import called_layers
from hessrun.objective.windows import WindowMaxima, WindowMeans

_ELEMENTWISE = (
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.ReLU,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Softsign,
    nn.Mish,
    nn.SELU,
    nn.CELU,
)
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_FIXED = (nn.Identity, nn.Flatten, nn.Unflatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class Chain:
    """The layers of a module in their order, each with the names of its parameters; made by `of`."""

    layers: tuple[tuple[str, nn.Module], ...]

    @classmethod
    def of(cls, module: nn.Module, shape: Sequence[int]) -> "Chain | None":
        """The chain that `module` is on inputs [N, *shape]; None where it holds anything but layers known here.

        Known are exactly torch's own classes, without hooks, shared parameters or parametrisations.
        """
        layers = [(name, layer) for name, layer in _plain_layers("", module) if not isinstance(layer, _DROPOUT)]
        if any(layer is None for _, layer in layers):
            return None
        named = [parameter for _, parameter in module.named_parameters(remove_duplicate=False)]
        if len({id(parameter) for parameter in named}) < len(named):
            return None
        found = cls(tuple((name, _out_of_place(layer)) for name, layer in layers if layer is not None))
        if not named:
            return None
        numbers = torch.linspace(-1, 1, 2 * math.prod(shape), dtype=named[0].dtype, device=named[0].device)
        return found if found._fits(module, numbers.view(2, *shape)) else None

    def _fits(self, module: nn.Module, inputs: Tensor) -> bool:
        """Whether each layer gets one vector, or one image of channels, per example of inputs [2, ...], and the last
        gives what the module does.
        """
        seen = inputs
        with torch.no_grad(), contextlib.suppress(RuntimeError):
            for _, layer in self.layers:
                if isinstance(layer, nn.Linear | nn.Conv2d) and seen.ndim != layer.weight.ndim:
                    return False
                seen = layer(seen)
                if seen.ndim < 2 or len(seen) != len(inputs):
                    return False
            return torch.equal(seen, module(inputs))
        # Sizes that do not fit: a layer saw parts of examples.
        return False

    def graph(
        self, parameters: Mapping[str, Tensor], loss: Loss, inputs: Tensor, targets: Tensor, share: float, kind: str
    ) -> "ChainGraph":
        """The Hessian, or the Gauss-Newton matrix, of share * loss over examples [B, ...], ready for products.

        parameters: the trained ones by name, in the order of the vectors.
        """
        places = {name: place for place, name in enumerate(parameters)}
        links: list[Link] = []
        a = inputs
        for name, layer in self.layers:
            weight, bias = f"{name}weight", f"{name}bias"
            # What comes before the first layer that is trained is a constant.
            if not links and weight not in places and bias not in places:
                with torch.no_grad():
                    a = layer(a)
                continue
            if isinstance(layer, nn.Linear | nn.Conv2d):
                link: Link = Affine(
                    _bilinear(layer),
                    a,
                    parameters.get(weight, layer.weight).detach(),
                    None if layer.bias is None else parameters.get(bias, layer.bias).detach(),
                    weight_at=places.get(weight),
                    bias_at=places.get(bias),
                )
            elif isinstance(layer, _ELEMENTWISE):
                link = Elementwise(layer, a)
            elif isinstance(layer, nn.MaxPool2d):
                link = WindowMaxima(layer, a)
            else:
                link = WindowMeans.of(layer, a) or Fixed(layer, a)
            links.append(link)
            a = link.output
        return ChainGraph(links, list(parameters.values()), output_loss(loss, a, targets, share), kind)


class ChainGraph:
    """The products of a chain at one point: a `ProductGraph`.

    links: from the first layer that is trained to the last; parameters: the trained ones, in the order of the vectors.
    """

    def __init__(self, links: Sequence[Link], parameters: Sequence[Tensor], loss: OutputLoss, kind: str) -> None:
        first, *self._rest = links
        assert isinstance(first, Affine)  # noqa: S101  (nothing else is trained)
        self._first, self._parameters, self._loss = first, parameters, loss
        if kind == "hessian":
            adjoint = loss.gradient
            for link in reversed(self._rest):
                adjoint = link.back(adjoint)
            first.keep(adjoint)

    def product(self, vectors: Sequence[Tensor]) -> Tensor:
        """The product with one vector in the parameters' shapes, [n]."""
        return torch.cat([part.flatten() for part in self._multiplied([vector.unsqueeze(0) for vector in vectors])])

    def products(self, rows: Tensor) -> Tensor:
        """The product with each row, [k, n]."""
        return torch.cat([part.flatten(1) for part in self._multiplied(in_shapes(rows, self._parameters))], dim=1)

    def _multiplied(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        tangent = self._first.start(vectors)
        kept = []
        for link in self._rest:
            tangent, pushed = link.push(tangent, vectors)
            kept.append(pushed)
        pulled = self._loss.product(tangent)
        products = list(vectors)
        for link, pushed in zip(reversed(self._rest), reversed(kept), strict=True):
            link.collect(pulled, pushed, products)
            pulled = link.pull(pulled, pushed, vectors)
        self._first.collect(pulled, None, products)
        return products


def _plain_layers(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module | None]]:
    """The layers of `module` in their order, with the prefixes of their parameters' names; None for what is not known.

    Those of nested nn.Sequentials, and those that a forward of the user's own calls.
    """
    if _is_altered(module):
        yield prefix, None
    elif type(module) is nn.Sequential:
        # `named_children` would leave out a layer that stands twice.
        for name, part in zip(module._modules, module, strict=True):
            yield from _plain_layers(f"{prefix}{name}.", part)
    elif _is_known(module):
        yield prefix, module
    else:
        called = None if any(map(_is_altered, module.modules())) else called_layers(module)
        if not called:
            yield prefix, None
        else:
            yield from ((f"{prefix}{name}.", layer if _is_known(layer) else None) for name, layer in called)


def _is_altered(module: nn.Module) -> bool:
    """Whether more happens at a call than the forward of its class."""
    hooked = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooked) or "forward" in vars(module)


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if type(layer) is nn.MaxPool2d:
        return not layer.return_indices
    if isinstance(layer, _DROPOUT):
        # Only where it does nothing: masks are refused with the objective.
        return type(layer) in _DROPOUT and (not layer.training or layer.p == 0)
    return type(layer) in (nn.Linear, *_ELEMENTWISE, *_FIXED)


def _out_of_place(layer: nn.Module) -> nn.Module:
    """A layer that works in place would write over the activations that the next product needs."""
    if not getattr(layer, "inplace", False):
        return layer
    plain = copy.copy(layer)
    setattr(plain, "inplace", False)  # noqa: B010  (no attribute of every module)
    return plain


def _bilinear(layer: nn.Linear | nn.Conv2d) -> Bilinear:
    return LINEAR if isinstance(layer, nn.Linear) else convolution(layer)
