"""Standardisation: mean 0 and standard deviation 1, fitted on the training split alone."""

from dataclasses import dataclass
from typing import Any, Self

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

    @classmethod
    def fit(cls, values: Tensor) -> Self:
        """values: [N, ...]; images [N, C, H, W] have one mean and deviation a channel, others one a feature."""
        over = (0, 2, 3) if values.ndim == 4 else (0,)
        mean = values.mean(over, keepdim=True)
        deviation = values.std(over, correction=0, keepdim=True)
        # Rounding leaves a constant feature a deviation of a few ulp of its mean, which must not be divided by.
        constant = deviation <= 1e-12 * mean.abs()
        return cls(mean.squeeze(0), torch.where(constant, 1.0, deviation).squeeze(0))

    def apply(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation


@dataclass(frozen=True)
class Standardisation:
    """Inputs, and the targets of a regression, in units of the training split's deviations.

    With standardised targets a mean squared error of 1 is that of predicting the training mean.
    """

    inputs: Affine
    targets: Affine | None

    @classmethod
    def fit(cls, train: Split, *, targets: bool) -> Self:
        return cls(Affine.fit(train.inputs), Affine.fit(train.targets) if targets else None)

    def apply(self, split: Split) -> Split:
        targets = split.targets if self.targets is None else self.targets.apply(split.targets)
        return Split(self.inputs.apply(split.inputs), targets)

    def facts(self) -> dict[str, Any]:
        """What turns standardised targets back into the dataset's units; empty for classes."""
        if self.targets is None:
            return {}
        return {"target_mean": self.targets.mean.tolist(), "target_deviation": self.targets.deviation.tolist()}
