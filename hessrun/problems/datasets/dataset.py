"""The base of all datasets: reading is theirs; splitting, standardising and fingerprinting are done here, once."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from hessrun.errors import DataError, OptionError
from hessrun.options import boolean, fraction, integer
from hessrun.problems.datasets.data import Data, Rows, Source, Split, StreamedSplit, Table
from hessrun.problems.datasets.survey import Part, Survey, survey, tensors


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
    in_memory: hold the examples in memory, 8 bytes a number; False reads them anew, chunk by chunk, in each pass.

    A subclass is final, and reads: `read() -> Source`.
    """

    name: ClassVar[str]

    validation_fraction: float = 0.15
    split_seed: int = 0
    limit: int | None = None
    standardise: bool = True
    in_memory: bool = True

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
        boolean("dataset.in_memory", self.in_memory)
        if self.limit is not None:
            integer("dataset.limit", self.limit, minimum=1)
        source = self.read()
        self._refuse_unfit(source)
        *parts, left_out = self._parts(source)
        seen = survey(self.label, source, parts, left_out, standardise=self.standardise)
        splits = [
            StreamedSplit(partial(_part_of, part, source, seen), len(part), classes)
            for part, classes in zip(parts, seen.classes, strict=True)
        ]
        train, validation, test = (split.held() for split in splits) if self.in_memory else splits
        details: dict[str, Any] = {"split_seed": self.split_seed, "standardise": self.standardise}
        if seen.standardisation is not None:
            details |= seen.standardisation.facts()
        return Data(
            name=self.label,
            task=source.task,
            n_outputs=seen.n_outputs,
            train=train,
            validation=validation,
            test=test,
            fingerprint=seen.fingerprint,
            details=details,
        )

    def _parts(self, source: Source) -> list[Part]:
        """The training, validation and test split, and what the limit leaves out."""
        n = len(source.examples)
        n_test = 0
        if isinstance(source.test, float | int):
            fraction("dataset.test_fraction", source.test)
            n_test = round(source.test * n)
        n_validation = round(self.validation_fraction * n)
        if n - n_test - n_validation < 1:
            raise OptionError(
                f"dataset.validation_fraction={self.validation_fraction} leaves none of {n} examples to train on: "
                "validation and test fractions together must stay below 1."
            )
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.split_seed), device="cpu").numpy()
        test, validation, rest = np.split(order, [n_test, n_test + n_validation])
        keeps = source.task == "classification" and not self.in_memory
        return [
            Part(source.examples, rest[: self.limit]),
            Part(source.examples, validation, keeps),
            Part(source.examples, test, keeps)
            if isinstance(source.test, float | int)
            else Part(source.test, np.arange(len(source.test)), keeps),
            Part(source.examples, rest[len(rest[: self.limit]) :]),
        ]

    def _refuse_unfit(self, source: Source) -> None:
        if len(source.examples) == 0:
            raise DataError(f"{self.label}: there are no examples.")
        if not isinstance(source.test, float | int):
            shape, expected = (_input_shape(table) for table in (source.test, source.examples))
            if shape != expected:
                raise DataError(
                    f"{self.label}: test inputs have the shape {list(shape)}, training inputs {list(expected)}."
                )


def _input_shape(table: Table) -> tuple[int, ...]:
    return table.take(np.arange(0)).inputs.shape[1:]


def _part_of(part: Part, source: Source, seen: Survey, places: Rows) -> Split:
    """What stands at these places of a split, standardised."""
    split = tensors(part.table.take(part.rows[places]), source)
    return split if seen.standardisation is None else seen.standardisation.apply(split)
