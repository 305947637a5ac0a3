"""Standardisation: mean 0 and standard deviation 1, fitted on the training split alone, in one pass over it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hessrun.problems.datasets.data import Split


@dataclass(frozen=True)
class Affine:
    """z -> (z - mean) / deviation, the mean and the standard deviation (over N, not N - 1) of what it was fitted on.

    Where a feature is constant the deviation is taken as 1, so that it becomes 0 and stays finite elsewhere.
    """

    mean: Tensor
    deviation: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """Written over the values."""
        return values.sub_(self.mean).div_(self.deviation)


class Moments:
    """The mean and the variance of values that come block by block (Chan, Golub and LeVeque, 1983, eq. 2.1).

    Images [N, C, H, W] have one mean and deviation a channel, others one a feature.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._variance = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """values: [B, ...] float64, B of 1 or above."""
        over = (0, 2, 3) if values.ndim == 4 else (0,)
        mean = values.mean(over, keepdim=True)
        variance = values.var(over, correction=0, keepdim=True)
        whole = self._count + len(values)
        share, gap = len(values) / whole, mean - self._mean
        self._variance = (1 - share) * self._variance + share * variance + (1 - share) * share * gap.square()
        self._mean = self._mean + share * gap
        self._count = whole

    def affine(self) -> Affine:
        """The standardisation that they make."""
        deviation = self._variance.sqrt()
        # Rounding leaves a constant feature a deviation of a few ulp of its mean, which must not be divided by.
        constant = deviation <= 1e-12 * self._mean.abs()
        return Affine(self._mean.squeeze(0), torch.where(constant, 1.0, deviation).squeeze(0))


@dataclass(frozen=True)
class Standardisation:
    """Inputs, and the targets of a regression, in units of the training split's deviations.

    With standardised targets a mean squared error of 1 is that of predicting the training mean.
    """

    inputs: Affine
    targets: Affine | None

    def apply(self, split: Split) -> Split:
        """Written over the split's tensors."""
        targets = split.targets if self.targets is None else self.targets.apply(split.targets)
        return Split(self.inputs.apply(split.inputs), targets)

    def facts(self) -> dict[str, Any]:
        """What turns standardised targets back into the dataset's units; empty for classes."""
        if self.targets is None:
            return {}
        return {"target_mean": self.targets.mean.tolist(), "target_deviation": self.targets.deviation.tolist()}
