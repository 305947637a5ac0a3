"""What a dataset gives: examples before they are split, and the three splits after."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hessrun.problems.datasets.blocks import blocks

Task = Literal["classification", "regression"]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """N examples as they were read.

    inputs: [N, ...], any numeric dtype; targets: [N] class indices from 0, or [N, K] numbers.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Rows) -> "Examples":
        return Examples(self.inputs[rows], self.targets[rows])

    def inspect(self, rows: Rows) -> "Examples":
        return self.take(rows)


class Table(Protocol):
    """N examples that are read by row: arrays in memory, a mapped file, items that are decoded."""

    def __len__(self) -> int: ...

    def take(self, rows: Rows) -> Examples:
        """Those of rows [B], in their order; the same every time. B may be 0, which shows shapes and dtypes."""

    def inspect(self, rows: Rows) -> Examples:
        """The same at the first reading. Raises HessrunError for a row that is not the same twice, or has no shape."""


@dataclass(frozen=True)
class Source:
    """A whole dataset as it was read.

    test: its official test examples, or the fraction of `examples` to hold out as a test split, in [0, 1).
    scale: what one unit of the inputs is in the stored numbers (255 for bytes that mean 0 to 1).
    n_outputs: the number of classes, or of target columns; None where it is the largest class, plus 1.
    """

    examples: Table
    test: Table | float
    task: Task
    n_outputs: int | None
    scale: float = 1.0


@dataclass(frozen=True)
class Split:
    """inputs: [N, ...], float64; targets: [N] int64 class indices, or [N, K] float64. N may be 0."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input."""
        return tuple(self.inputs.shape[1:])


@dataclass(frozen=True)
class StreamedSplit:
    """A split that is read part by part.

    read: places [B] from 0 to count - 1 -> that part of the split, the same to the bit as of one in memory.
    classes: [count] int64 of a held-out split, for its accuracy; None for a training split or a regression.
    """

    read: Callable[[Rows], Split]
    count: int
    classes: Tensor | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input."""
        return self.read(np.arange(0)).input_shape

    def held(self) -> Split:
        """The split in memory."""
        none = self.read(np.arange(0))
        whole = Split(*(part.new_empty(self.count, *part.shape[1:]) for part in (none.inputs, none.targets)))
        for block in blocks(self.count, none.input_shape):
            part = self.read(np.arange(block.start, block.stop))
            whole.inputs[block], whole.targets[block] = part.inputs, part.targets
        return whole


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
    train: Split | StreamedSplit
    validation: Split | StreamedSplit
    test: Split | StreamedSplit
    fingerprint: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example's input."""
        return self.train.input_shape
