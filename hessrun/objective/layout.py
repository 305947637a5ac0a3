"""Where each trainable parameter of a module stands in the flat vector."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessrun.errors import ObjectiveError, OptionError
from hessrun.options import non_negative


@dataclass(frozen=True)
class ParameterLayout:
    """Names, shapes and sizes of the trainable parameters, in the order of `module.named_parameters()`.

    Parameters that require no gradient stay where they are: they are no part of the vector.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, module: nn.Module) -> "ParameterLayout":
        """Raises ObjectiveError where nothing can be trained."""
        trainable = [(name, p.shape) for name, p in module.named_parameters() if p.requires_grad]
        if not trainable:
            raise ObjectiveError(
                f"{type(module).__name__} has no parameter that requires a gradient: nothing to train."
            )
        names, shapes = zip(*trainable, strict=True)
        return cls(names, shapes)

    @property
    def sizes(self) -> list[int]:
        return [shape.numel() for shape in self.shapes]

    @property
    def dim(self) -> int:
        return sum(self.sizes)

    def views(self, x: Tensor) -> list[Tensor]:
        """Views of x [n], one per parameter, in its shape."""
        return [part.view(shape) for part, shape in zip(torch.split(x, self.sizes), self.shapes, strict=True)]

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """The same views by name."""
        return dict(zip(self.names, self.views(x), strict=True))

    def per_parameter(self, values: Mapping[str, float], *, option: str) -> list[float]:
        """One number per parameter: that of the first glob pattern which matches its name, 0 where none does.

        Raises OptionError for a pattern that matches nothing.
        """
        for pattern, value in values.items():
            non_negative(f"{option}[{pattern}]", value)
            if not fnmatch.filter(self.names, pattern):
                raise OptionError(f"{option}: no parameter matches '{pattern}'; there are {', '.join(self.names)}.")
        return [
            next((value for pattern, value in values.items() if fnmatch.fnmatchcase(name, pattern)), 0.0)
            for name in self.names
        ]
