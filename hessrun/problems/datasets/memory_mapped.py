"""Examples in two .npy files, which need not fit in memory."""

from dataclasses import dataclass
from typing import ClassVar

from hessrun.errors import DataError, OptionError
from hessrun.options import integer, positive
from hessrun.problems.datasets.data import Source, Table
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.mapped import MappedArray, MappedExamples


@dataclass(frozen=True, kw_only=True)
class MemoryMapped(Dataset):
    """Files that are mapped and read chunk by chunk, in each pass.

    inputs: a .npy file [N, ...] of real numbers; targets: one of N whole numbers, which are classes from 0, or of
        [N] or [N, K] floating-point numbers, a regression.
    test_inputs, test_targets: the same of official test examples; None holds out `test_fraction`, in [0, 1).
    n_classes: 1 or above; None takes the largest class plus 1.
    scale: what one unit of the inputs is in the stored numbers, above 0 (255 for bytes that mean 0 to 1).
    in_memory: True reads them once, and takes 8 bytes a number.
    """

    name: ClassVar[str] = "memory_mapped"

    inputs: str
    targets: str
    test_inputs: str | None = None
    test_targets: str | None = None
    test_fraction: float = 0.15
    n_classes: int | None = None
    scale: float = 1.0
    in_memory: bool = False

    def read(self) -> Source:
        positive("dataset.scale", self.scale)
        if self.n_classes is not None:
            integer("dataset.n_classes", self.n_classes, minimum=1)
        if (self.test_inputs is None) != (self.test_targets is None):
            raise OptionError("dataset.test_inputs and dataset.test_targets: give both files or neither.")
        inputs = MappedArray(self.inputs, "dataset.inputs")
        targets = MappedArray(self.targets, "dataset.targets")
        columns = _columns(targets)
        examples = self._table(inputs, targets, columns)
        test: Table | float = self.test_fraction
        if self.test_inputs is not None and self.test_targets is not None:
            more = MappedArray(self.test_targets, "dataset.test_targets")
            if _columns(more) != columns:
                raise DataError(
                    f"dataset.test_targets={self.test_targets}: {list(more.shape)} of {more.dtype} is no target of the "
                    f"kind of dataset.targets, {list(targets.shape)} of {targets.dtype}."
                )
            test = self._table(MappedArray(self.test_inputs, "dataset.test_inputs"), more, columns)
        if columns is not None:
            return Source(examples, test, "regression", columns, self.scale)
        return Source(examples, test, "classification", self.n_classes, self.scale)

    def _table(self, inputs: MappedArray, targets: MappedArray, columns: int | None) -> MappedExamples:
        if len(inputs) != len(targets):
            raise DataError(f"{self.name}: {len(inputs)} inputs and {len(targets)} targets; they must be equally many.")
        if len(inputs.shape) < 2:
            raise DataError(f"{self.name}: inputs must be [N, ...], N examples of numbers; got {list(inputs.shape)}.")
        if len(targets.shape) > 2 or (columns is None and targets.shape[1:] not in ((), (1,))):
            allowed = "[N] classes" if columns is None else "[N] or [N, K] numbers"
            raise DataError(f"{self.name}: targets must be {allowed}; got {list(targets.shape)} of {targets.dtype}.")
        return MappedExamples(inputs, targets, columns)


def _columns(targets: MappedArray) -> int | None:
    """K of numbers, None of classes."""
    if targets.dtype.kind != "f":
        return None
    return 1 if len(targets.shape) == 1 else targets.shape[1]
