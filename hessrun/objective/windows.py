"""Links that gather the windows of images: means, and maxima, at one point a choice among the inputs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective.links import Link, Vectors


class WindowMeans(Link):
    """The means of windows [height, width] side by side; torch's own kernels for them take three times as long."""

    def __init__(self, window: tuple[int, int], inputs: Tensor) -> None:
        self._window = window
        self.output = self._means(inputs)

    @staticmethod
    def of(layer: nn.Module, inputs: Tensor) -> "WindowMeans | None":
        """The link of a layer that is one of these on such inputs [B, channels, H, W], else None."""
        if not isinstance(layer, nn.AvgPool2d) or layer.divisor_override or _pair(layer.padding) != (0, 0):
            return None
        window = _pair(layer.kernel_size)
        whole = inputs.ndim == 4 and inputs.shape[2] % window[0] == 0 and inputs.shape[3] % window[1] == 0
        return WindowMeans(window, inputs) if whole and _pair(layer.stride) == window else None

    def back(self, adjoint: Tensor) -> Tensor:
        return self._spread(adjoint)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        return self._means(tangent), None

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        return self._spread(pulled.transpose(0, 1)).transpose(0, 1)

    def _means(self, values: Tensor) -> Tensor:
        height, width = self._window
        rows = sum((values[..., i::height, :] for i in range(1, height)), values[..., ::height, :])
        means = sum((rows[..., j::width] for j in range(1, width)), rows[..., ::width])
        return means / (height * width)

    def _spread(self, adjoint: Tensor) -> Tensor:
        (height, width), (*outer, h, w) = self._window, adjoint.shape
        share, spread = adjoint / (height * width), adjoint.new_empty(*outer, h * height, w * width)
        for i in range(height):
            for j in range(width):
                spread[..., i::height, j::width] = share
        return spread


class WindowMaxima(Link):
    """The largest of each window of `layer`: where it stands is the same for all tangents."""

    def __init__(self, layer: nn.MaxPool2d, inputs: Tensor) -> None:
        self._shape = inputs.shape[-2:]
        options: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        self.output, places = functional.max_pool2d(
            inputs, layer.kernel_size, ceil_mode=layer.ceil_mode, return_indices=True, **options
        )
        self._places = places.flatten(-2)

    def back(self, adjoint: Tensor) -> Tensor:
        return self._put(adjoint, self._places)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        tangent = tangent.transpose(0, 1)  # those of one example together, as they lie beside convolutions
        places = self._places.unsqueeze(1).expand(*tangent.shape[:-2], -1)
        found = torch.unflatten(tangent.flatten(-2).gather(-1, places), -1, self.output.shape[-2:])
        return found.transpose(0, 1), places

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        return self._put(pulled.transpose(0, 1), pushed).transpose(0, 1)

    def _put(self, adjoint: Tensor, places: Tensor) -> Tensor:
        height, width = self._shape
        images = adjoint.new_zeros(*adjoint.shape[:-2], height * width)
        return torch.unflatten(images.scatter_add_(-1, places, adjoint.flatten(-2)), -1, self._shape)


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
