"""The models that ship: each builder takes the shape of an input and the number of outputs, and returns a module.

Weights are drawn by torch's defaults from its global generator, which the problem seeds and puts back.
"""

import itertools
import math
from collections.abc import Sequence

from torch import nn

from hessrun.errors import OptionError
from hessrun.options import choice, integer

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "relu": nn.ReLU,
}

# Two poolings by 2 and a convolution of 5 without padding: (12 // 2 - 4) // 2 = 1 pixel is left of 12.
_LENET_SMALLEST = 12
# Below this side ResNet's first layers (stride 4 together) would throw most of an image away.
_RESNET_LARGE_IMAGE = 64


def linear(input_shape: Sequence[int], n_outputs: int) -> nn.Module:
    """One affine map of the flattened input, [B, n_outputs]; convex with either loss (softmax or linear regression)."""
    return mlp(input_shape, n_outputs, hidden=())


def mlp(
    input_shape: Sequence[int], n_outputs: int, *, hidden: Sequence[int] = (32,), activation: str = "tanh"
) -> nn.Module:
    """A multilayer perceptron on the flattened input, [B, n_outputs].

    hidden: widths of the hidden layers, each 1 or above; none of them gives an affine map.
    activation: tanh, sigmoid, softplus, gelu, silu, elu (all with a continuous gradient), or relu.
    Raises OptionError for other values.

        >>> sum(p.numel() for p in mlp((1, 8, 8), 10).parameters())
        2410
    """
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise OptionError(f"model.hidden={hidden!r}: must be a list of widths, for example [32] or [64,32]")
    for position, width in enumerate(hidden):
        integer(f"model.hidden[{position}]", width, minimum=1)
    nonlinearity = _activation(activation)
    widths = [math.prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for narrow, wide in itertools.pairwise(widths):
        layers += [nn.Linear(narrow, wide), nonlinearity()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))


def lenet(input_shape: Sequence[int], n_outputs: int, *, activation: str = "tanh") -> nn.Module:
    """LeNet-5 with average pooling: two convolutions, then layers of 120 and 84 (LeCun et al., 1998); [B, n_outputs].

    input_shape: [channels, height, width], height and width 12 or above; activation: as for `mlp`.
    Raises OptionError for other inputs. It has 61,706 parameters on images of [1, 28, 28] in ten classes.
    """
    channels, height, width = _image_shape("lenet", input_shape)
    if min(height, width) < _LENET_SMALLEST:
        raise OptionError(
            f"model=lenet takes images of at least {_LENET_SMALLEST}x{_LENET_SMALLEST} pixels; this dataset has "
            f"{height}x{width}: use model=mlp."
        )
    nonlinearity = _activation(activation)
    rows, columns = (((side // 2) - 4) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        nonlinearity(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nonlinearity(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nonlinearity(),
        nn.Linear(120, 84),
        nonlinearity(),
        nn.Linear(84, n_outputs),
    )


def resnet18(input_shape: Sequence[int], n_outputs: int, *, groups: int = 32) -> nn.Module:
    """ResNet-18 (He et al., 2016) with group norm (Wu and He, 2018), which does not mix examples; [B, n_outputs].

    input_shape: [channels, height, width]; images with a side below 64 get a first convolution of 3x3 without stride
    and no pooling after it, as He et al. do for CIFAR-10.
    groups: of each normalisation, a divisor of 64. Raises OptionError for other values. About 11 million parameters.
    """
    channels, height, width = _image_shape("resnet18", input_shape)
    integer("model.groups", groups, minimum=1)
    if 64 % groups:
        raise OptionError(f"model.groups={groups}: must divide 64, the smallest number of channels")
    from torchvision.models import resnet18 as build

    network: nn.Module = build(num_classes=n_outputs, norm_layer=lambda width: nn.GroupNorm(groups, width))
    if min(height, width) < _RESNET_LARGE_IMAGE:
        network.conv1 = _first_convolution(channels, kernel=3, stride=1)
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = _first_convolution(channels, kernel=7, stride=2)
    return network


def _first_convolution(channels: int, *, kernel: int, stride: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, 64, kernel, stride=stride, padding=kernel // 2, bias=False)
    # As torchvision draws all convolutions of this network.
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def _activation(name: str) -> type[nn.Module]:
    choice("model.activation", name, tuple(_ACTIVATIONS))
    return _ACTIVATIONS[name]


def _image_shape(model: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise OptionError(
            f"model={model} takes images [channels, height, width]; this dataset's inputs are {list(input_shape)}: "
            "use model=mlp."
        )
    channels, height, width = input_shape
    return channels, height, width
