"""Any map-style torch dataset, checked to give the same items twice; held in memory, or decoded in each pass."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch.utils.data

from hessrun.errors import OptionError
from hessrun.options import integer
from hessrun.problems.datasets.data import Source, Table
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.items import Items


@dataclass(frozen=True, kw_only=True)
class TorchDataset(Dataset):
    """A torch dataset of pairs (input, target), for example one of torchvision's with its transform.

    Targets that are whole numbers are classes from 0; others are a regression. Every item is read twice and must be
    the same both times, since a loss that changes at the same parameters cannot be minimised.

    dataset: has a length and items (input [...], target: a number or [K]); all items have the same shapes.
    test: a dataset of official test items; None holds out `test_fraction`, in [0, 1), of `dataset`.
    augmentation_seed: None refuses random items; a number, 0 or above, draws them once from it (item i from seed + i),
        which needs in_memory=True and workers=1, since it borrows the global generators.
    workers: threads that decode items, 1 or above; more than 1 for a dataset that may be called several times at once.

    `load` raises OptionError for a dataset without length and for random items, DataError for items that are no such
    pairs or differ in shape.
    """

    name: ClassVar[str] = "torch"

    dataset: torch.utils.data.Dataset[Any]
    test: torch.utils.data.Dataset[Any] | None = None
    test_fraction: float = 0.15
    augmentation_seed: int | None = None
    workers: int = 1

    @property
    def label(self) -> str:
        return type(self.dataset).__name__

    def read(self) -> Source:
        integer("dataset.workers", self.workers, minimum=1)
        if self.augmentation_seed is not None:
            integer("dataset.augmentation_seed", self.augmentation_seed, minimum=0)
            if self.workers > 1 or not self.in_memory:
                raise OptionError(
                    f"dataset.augmentation_seed={self.augmentation_seed} draws items from the global generators, once: "
                    "it needs dataset.in_memory=true and dataset.workers=1."
                )
        examples = self._table(self.dataset)
        test = self.test_fraction if self.test is None else self._table(self.test)
        targets = examples.take(np.arange(0)).targets
        if targets.dtype.kind != "i":
            return Source(examples, test, "regression", targets.shape[1])
        return Source(examples, test, "classification", None)

    def _table(self, dataset: torch.utils.data.Dataset[Any]) -> Table:
        items = Items(dataset, augmentation_seed=self.augmentation_seed, workers=self.workers)
        return items.inspect(np.arange(len(items))) if self.in_memory else items
