"""The base of all datasets: reading is theirs; splitting, standardising and fingerprinting are done here, once."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hessrun.errors import DataError, OptionError
from hessrun.options import boolean, fraction, integer
from hessrun.problems.datasets.data import Data, Examples, Source, Split
from hessrun.problems.datasets.standardise import Standardisation


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A source of examples with its splits; the fields are the YAML's keys.

    Examples are permuted from `split_seed`; the first ones become the test split (unless the dataset has an official
    one), the next ones the validation split, the rest the training split. The seed of a run is no part of it: runs
    with different seeds share their splits.

    validation_fraction: share of the examples (less an official test split) to tune on, in [0, 1).
    split_seed: seed of that permutation, 0 or above.
    limit: keep only the first so many training examples, 1 or above; None keeps all.
    standardise: subtract the mean and divide by the standard deviation of the training split (`Standardisation`).

    A subclass is final, and reads: `read() -> Source`.
    """

    name: ClassVar[str]

    validation_fraction: float = 0.15
    split_seed: int = 0
    limit: int | None = None
    standardise: bool = True

    @abstractmethod
    def read(self) -> Source:
        """All examples as they stand on disk.

        Raises DataError where a file is missing, truncated or of a wrong kind.
        """

    @property
    def label(self) -> str:
        """The name that the record gives to this dataset."""
        return self.name

    def load(self) -> Data:
        """Read, split and standardise.

        Raises DataError for files that do not fit, and OptionError for options outside their ranges.
        """
        fraction("dataset.validation_fraction", self.validation_fraction)
        integer("dataset.split_seed", self.split_seed, minimum=0)
        boolean("dataset.standardise", self.standardise)
        if self.limit is not None:
            integer("dataset.limit", self.limit, minimum=1)
        source = self.read()
        self._refuse_unfit(source)
        train, validation, test = self._split(source)
        fingerprint = _fingerprint([train, validation, test])
        splits = [_tensors(part, source) for part in (train, validation, test)]
        details: dict[str, Any] = {"split_seed": self.split_seed, "standardise": self.standardise}
        if self.standardise:
            fitted = Standardisation.fit(splits[0], targets=source.task == "regression")
            splits = [fitted.apply(split) for split in splits]
            details |= fitted.facts()
        return Data(
            name=self.label,
            task=source.task,
            n_outputs=source.n_outputs,
            train=splits[0],
            validation=splits[1],
            test=splits[2],
            fingerprint=fingerprint,
            details=details,
        )

    def _split(self, source: Source) -> tuple[Examples, Examples, Examples]:
        n = len(source.examples)
        if isinstance(source.test, Examples):
            n_test = 0
        else:
            fraction("dataset.test_fraction", source.test)
            n_test = round(source.test * n)
        n_validation = round(self.validation_fraction * n)
        if n - n_test - n_validation < 1:
            raise OptionError(
                f"dataset.validation_fraction={self.validation_fraction} leaves none of {n} examples to train on: "
                "validation and test fractions together must stay below 1."
            )
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.split_seed), device="cpu").numpy()
        held_out = n_test + n_validation
        test = source.test if isinstance(source.test, Examples) else _take(source.examples, order[:n_test])
        validation = _take(source.examples, order[n_test:held_out])
        return _take(source.examples, order[held_out:][: self.limit]), validation, test

    def _refuse_unfit(self, source: Source) -> None:
        if len(source.examples) == 0:
            raise DataError(f"{self.label}: there are no examples.")
        parts = [source.examples] + ([source.test] if isinstance(source.test, Examples) else [])
        for part in parts:
            if part.inputs.shape[1:] != source.examples.inputs.shape[1:]:
                raise DataError(
                    f"{self.label}: test inputs have the shape {list(part.inputs.shape[1:])}, "
                    f"training inputs {list(source.examples.inputs.shape[1:])}."
                )
            for what, array in (("inputs", part.inputs), ("targets", part.targets)):
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise DataError(f"{self.label}: the {what} hold values that are not finite.")
            if source.task == "classification" and len(part) > 0:
                low, high = part.targets.min(), part.targets.max()
                if low < 0 or high >= source.n_outputs:
                    raise DataError(
                        f"{self.label}: classes must be from 0 to {source.n_outputs - 1}; found {low:g} to {high:g}."
                    )


def _take(examples: Examples, indices: npt.NDArray[np.int64]) -> Examples:
    return Examples(examples.inputs[indices], examples.targets[indices])


def _tensors(examples: Examples, source: Source) -> Split:
    inputs = torch.from_numpy(examples.inputs.astype(np.float64)).div_(source.scale)
    kind = np.int64 if source.task == "classification" else np.float64
    return Split(inputs, _contiguous(examples.targets.astype(kind)))


def _contiguous(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _fingerprint(splits: Iterable[Examples]) -> str:
    """sha256 over what was read, split by split: the same on every machine, before any arithmetic."""
    digest = hashlib.sha256()
    for split in splits:
        for array in (split.inputs, split.targets):
            # Little-endian bytes, whatever the machine's order.
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{plain.dtype.str}{plain.shape}".encode())
            digest.update(plain.tobytes())
    return digest.hexdigest()
