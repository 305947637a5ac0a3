"""What a dataset gives: examples before they are split, and the three splits after."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt
from torch import Tensor

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Examples:
    """N examples as they were read.

    inputs: [N, ...], any numeric dtype; targets: [N] class indices from 0, or [N, K] numbers.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Source:
    """A whole dataset as it was read.

    test: its official test examples, or the fraction of `examples` to hold out as a test split, in [0, 1).
    scale: what one unit of the inputs is in the stored numbers (255 for bytes that mean 0 to 1).
    n_outputs: the number of classes, or of target columns.
    """

    examples: Examples
    test: Examples | float
    task: Task
    n_outputs: int
    scale: float = 1.0


@dataclass(frozen=True)
class Split:
    """inputs: [N, ...], float64; targets: [N] int64 class indices, or [N, K] float64. N may be 0."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Data:
    """The splits of a dataset: one to train on, one to tune on (validation), one to report (test).

    n_outputs: the number of classes, or of target columns: what a model has to return for an example.
    fingerprint: sha256 over the arrays as they were read and over which examples are in which split.
    details: what else the record keeps (standardisation, seed of the split ...).
    """

    name: str
    task: Task
    n_outputs: int
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input."""
        return tuple(self.train.inputs.shape[1:])
