"""Data drawn from a linear rule, whose conditioning is chosen."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from hessrun.errors import OptionError
from hessrun.options import choice, integer, non_negative
from hessrun.problems.datasets.data import Examples, Source, Task
from hessrun.problems.datasets.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Synthetic(Dataset):
    """N inputs in R^d whose covariance has a chosen condition number, and a noisy linear rule for their targets.

    The mean is 0 and the covariance 1/N X'X = Q diag(lambda) Q', both exactly so over all N examples (a split of them
    comes near). The d eigenvalues are spaced evenly in their logarithm from 1 down to 1/condition_number; Q is random
    and orthogonal. The rule is t = X w, its columns scaled to a mean square of 1, plus `noise` times standard normal
    numbers: t itself for a regression (one column), the largest of K columns for a classification (the probit model).

    For linear regression with standardise=false and no held-out splits the Hessian of the mean squared error in the
    weights is 2 Q diag(lambda) Q'.

    task: classification or regression; n_classes: K, 2 or above, of a classification.
    n_features: d, 1 or above; n_examples: N, above d; condition_number: 1 or above; noise: 0 or above (at 0 the
    classes are separable); data_seed: of everything drawn, 0 or above.
    standardise: off by default, since it changes the conditioning.
    """

    name: ClassVar[str] = "synthetic"

    task: Task = "classification"
    n_examples: int = 1000
    n_features: int = 20
    n_classes: int = 2
    condition_number: float = 100.0
    noise: float = 0.5
    data_seed: int = 0
    test_fraction: float = 0.15
    standardise: bool = False

    def read(self) -> Source:
        self._refuse_illegal()
        columns = 1 if self.task == "regression" else self.n_classes
        generator = torch.Generator().manual_seed(self.data_seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")

        scattered = normal(self.n_examples, self.n_features)
        white = torch.linalg.qr(scattered - scattered.mean(dim=0))[0] * math.sqrt(self.n_examples)
        rotation = torch.linalg.qr(normal(self.n_features, self.n_features))[0]
        eigenvalues = torch.logspace(0.0, -math.log10(self.condition_number), self.n_features, dtype=torch.float64)
        inputs = white * eigenvalues.sqrt() @ rotation.T
        rule = inputs @ normal(self.n_features, columns)
        rule = rule / rule.square().mean(dim=0).sqrt() + self.noise * normal(self.n_examples, columns)
        targets = rule if self.task == "regression" else rule.argmax(dim=1)
        return Source(Examples(inputs.numpy(), targets.numpy()), self.test_fraction, self.task, columns)

    def _refuse_illegal(self) -> None:
        choice("dataset.task", self.task, ("classification", "regression"))
        integer("dataset.n_features", self.n_features, minimum=1)
        integer("dataset.n_examples", self.n_examples, minimum=self.n_features + 1)
        integer("dataset.n_classes", self.n_classes, minimum=2)
        non_negative("dataset.noise", self.noise)
        integer("dataset.data_seed", self.data_seed, minimum=0)
        kappa = self.condition_number
        if not (isinstance(kappa, int | float) and math.isfinite(kappa) and kappa >= 1):
            raise OptionError(f"dataset.condition_number={kappa!r}: must be a finite number, 1 or above")
