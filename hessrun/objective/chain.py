"""Products with the curvature of a chain of plain layers, without a graph: two passes of matrix products each.

Where a module applies linear and convolutional layers, functions of one number, group and layer norms, maps that are
linear at a point, and sums of what earlier layers gave, the derivative of the gradient along v is written down layer by
layer (Pearlmutter, 1994). Double backward computes the same with about twice the operations, and convolutions by
kernels that are slower.
"""

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hessrun.objective.attention import Attention, AttentionHeads
from hessrun.objective.bilinear import Convolution, Linear
from hessrun.objective.links import Affine, Elementwise, Fixed, Link, Own, Passed, Trained
from hessrun.objective.norms import Norm
from hessrun.objective.output_curvature import Loss, OutputLoss, output_loss
from hessrun.objective.positions import Positionwise
from hessrun.objective.products import in_rows, in_shapes
from hessrun.objective.tracing import Call, LinearMap, called_layers
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
_FIXED = (nn.Flatten, nn.Unflatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d, LinearMap)


@dataclass(frozen=True)
class Chain:
    """The layers that a module calls, in their order, each with the sources of its input; made by `of`."""

    calls: tuple[Call, ...]

    @classmethod
    def of(cls, module: nn.Module, shape: Sequence[int]) -> "Chain | None":
        """The chain that `module` is on inputs [N, *shape]; None where it calls anything but layers known here.

        Known are exactly torch's own classes, without hooks, shared parameters or parametrisations.
        """
        named = list(module.parameters())
        if not named or any(_is_altered(part) for part in module.modules()):
            return None
        calls = [Call("", module, (-1,))] if _is_known(module) else called_layers(module)
        if calls is None or not all(_is_known(call.layer) for call in calls):
            return None
        found = cls(tuple(replace(call, layer=_plain(call.layer)) for call in calls))
        numbers = torch.linspace(-1, 1, 2 * math.prod(shape), dtype=named[0].dtype, device=named[0].device)
        return found if found._fits(module, numbers.view(2, *shape)) else None

    def _fits(self, module: nn.Module, inputs: Tensor) -> bool:
        """Whether each layer gets vectors, or one image of channels, per example of inputs [2, ...], and the last gives
        what the module does, and depends on the parameters as that does: a trace does not show what is under no_grad.
        """
        seen: list[Tensor] = []
        with torch.enable_grad(), contextlib.suppress(RuntimeError):
            for call in self.calls:
                parts = [seen[source] if source >= 0 else inputs for source in call.sources]
                if any(part.shape != parts[0].shape for part in parts):
                    return False
                if isinstance(call.layer, nn.Conv2d) and parts[0].ndim != call.layer.weight.ndim:
                    return False
                seen.append(call.layer(sum(parts[1:], parts[0])))
                if seen[-1].ndim < 2 or len(seen[-1]) != len(inputs):
                    return False
            trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
            found, expected = seen[-1], module(inputs)
            return _agree(found, expected) and all(map(_agree, _slopes(found, trained), _slopes(expected, trained)))
        # Sizes that do not fit: a layer saw parts of examples.
        return False

    def graph(
        self, parameters: Mapping[str, Tensor], loss: Loss, inputs: Tensor, targets: Tensor, share: float, kind: str
    ) -> "ChainGraph":
        """The Hessian, or the Gauss-Newton matrix, of share * loss over examples [B, ...], ready for products.

        parameters: the trained ones by name, in the order of the vectors.
        """
        places = {name: place for place, name in enumerate(parameters)}
        outputs: list[Tensor] = []
        links: dict[int, tuple[Link, tuple[int, ...]]] = {}
        for position, call in enumerate(self.calls):
            parts = [outputs[source] if source >= 0 else inputs for source in call.sources]
            a = sum(parts[1:], parts[0])
            varying = tuple(source for source in call.sources if source in links)
            # What depends on nothing that is trained is a constant.
            if not varying and f"{call.name}weight" not in places and f"{call.name}bias" not in places:
                with torch.no_grad():
                    outputs.append(call.layer(a))
            else:
                link = _link(call, a, parameters, places)
                links[position] = link, varying
                outputs.append(link.output)
        return ChainGraph(links, list(parameters.values()), output_loss(loss, outputs[-1], targets, share), kind)


class ChainGraph:
    """The products of a chain at one point: a `ProductGraph`.

    links: by their positions in the chain, those that depend on what is trained, each with the positions of the links
    that its input is the sum of (and of constants); parameters: the trained ones, in the order of the vectors.
    """

    def __init__(
        self,
        links: Mapping[int, tuple[Link, tuple[int, ...]]],
        parameters: Sequence[Tensor],
        loss: OutputLoss,
        kind: str,
    ) -> None:
        self._links, self._parameters, self._loss = links, parameters, loss
        self._last = max(links)
        if kind == "hessian":
            adjoints = _Sums(self._last, loss.gradient)
            for position, link, sources in self._backwards():
                adjoint = adjoints.pop(position)
                if sources:
                    adjoints.add(sources, link.back(adjoint))
                elif isinstance(link, Trained):
                    link.keep(adjoint)

    def product(self, vectors: Sequence[Tensor]) -> Tensor:
        """The product with one vector in the parameters' shapes, [n]."""
        return torch.cat([part.flatten() for part in self._multiplied([vector.unsqueeze(0) for vector in vectors])])

    def products(self, rows: Tensor) -> Tensor:
        """The product with each row, [k, n]."""
        return in_rows(self._multiplied(in_shapes(rows, self._parameters)))

    def _multiplied(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        tangents: dict[int, Tensor] = {}
        kept = {}
        for position, (link, sources) in self._links.items():
            if sources:
                first, *others = (tangents[source] for source in sources)
                tangents[position], kept[position] = link.push(sum(others, first), vectors)
            else:
                assert isinstance(link, Trained)  # noqa: S101  (on a constant, nothing else varies)
                tangents[position], kept[position] = link.start(vectors), None
        pulled = _Sums(self._last, self._loss.product(tangents[self._last]))
        del tangents
        products = list(vectors)
        for position, link, sources in self._backwards():
            here, pushed = pulled.pop(position), kept.pop(position)
            link.collect(here, pushed, products)
            if sources:
                pulled.add(sources, link.pull(here, pushed, vectors))
        return products

    def _backwards(self) -> Iterator[tuple[int, Link, tuple[int, ...]]]:
        for position in sorted(self._links, reverse=True):
            link, sources = self._links[position]
            yield position, link, sources


class _Sums:
    """What has come back to each link from those that it is a source of, summed; at the start the last one's alone."""

    def __init__(self, last: int, value: Tensor) -> None:
        self._sums = {last: value}

    def pop(self, position: int) -> Tensor:
        return self._sums.pop(position)

    def add(self, sources: Sequence[int], value: Tensor) -> None:
        """Out of place: the same value may go to several."""
        for source in sources:
            self._sums[source] = self._sums[source] + value if source in self._sums else value


def _slopes(outputs: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    """The gradients of one sum of the outputs, with weights that none of them has in common with another."""
    if not outputs.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    weights = torch.linspace(1, 2, outputs.numel(), dtype=outputs.dtype, device=outputs.device).view_as(outputs)
    return torch.autograd.grad(outputs, parameters, weights, allow_unused=True, materialize_grads=True)


def _agree(found: Tensor, expected: Tensor) -> bool:
    """To rounding: attention has several kernels."""
    if found.shape != expected.shape:
        return False
    rounding = 256 * torch.finfo(expected.dtype).eps * expected.abs().max()
    return bool((found - expected).abs().max() <= rounding)


def _link(call: Call, a: Tensor, parameters: Mapping[str, Tensor], places: Mapping[str, int]) -> Link:
    """What the call does around the point where its input is a [B, ...]."""
    layer, weight, bias = call.layer, f"{call.name}weight", f"{call.name}bias"
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.GroupNorm | nn.LayerNorm):
        own = Own(
            _detached(parameters.get(weight, layer.weight)),
            _detached(parameters.get(bias, layer.bias)),
            weight_at=places.get(weight),
            bias_at=places.get(bias),
        )
        if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            return Norm(layer, a, own)
        of = Linear() if isinstance(layer, nn.Linear) else Convolution(layer)
        if isinstance(layer, nn.Linear) and a.ndim > 2:
            return Positionwise(lambda vectors: Affine(of, vectors, own), a)
        return Affine(of, a, own)
    if isinstance(layer, AttentionHeads):
        return Attention(layer, a)
    if isinstance(layer, _ELEMENTWISE):
        return Elementwise(layer, a)
    if isinstance(layer, nn.MaxPool2d):
        return WindowMaxima(layer, a)
    if isinstance(layer, nn.Identity):
        return Passed(a)
    return WindowMeans.of(layer, a) or Fixed(layer, a)


def _detached(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.detach()


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
    plain = (nn.Linear, nn.Identity, nn.GroupNorm, nn.LayerNorm, AttentionHeads)
    return type(layer) in (*plain, *_ELEMENTWISE, *_FIXED)


def _plain(layer: nn.Module) -> nn.Module:
    """The same without effects: what works in place would write over the activations that the next product needs."""
    if isinstance(layer, _DROPOUT):
        return nn.Identity()
    if not getattr(layer, "inplace", False):
        return layer
    plain = copy.copy(layer)
    setattr(plain, "inplace", False)  # noqa: B010  (no attribute of every module)
    return plain
