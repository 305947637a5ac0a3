"""Any map-style torch dataset, read into tensors once and checked to give the same items twice."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data
from torch import Tensor

from hessrun.errors import DataError, OptionError
from hessrun.options import integer
from hessrun.problems.datasets.data import Examples, Source
from hessrun.problems.datasets.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class TorchDataset(Dataset):
    """A torch dataset of pairs (input, target), for example one of torchvision's with its transform.

    Targets that are whole numbers are classes from 0; others are a regression. Every item is read twice and must be
    the same both times, since a loss that changes at the same parameters cannot be minimised.

    dataset: has a length and items (input [...], target: a number or [K]); all items have the same shapes.
    test: a dataset of official test items; None holds out `test_fraction`, in [0, 1), of `dataset`.
    augmentation_seed: None refuses random items; a number, 0 or above, draws them once from it (item i from seed + i).

    `load` raises OptionError for a dataset without length and for random items, DataError for items that are no such
    pairs or differ in shape.
    """

    name: ClassVar[str] = "torch"

    dataset: torch.utils.data.Dataset[Any]
    test: torch.utils.data.Dataset[Any] | None = None
    test_fraction: float = 0.15
    augmentation_seed: int | None = None

    @property
    def label(self) -> str:
        return type(self.dataset).__name__

    def read(self) -> Source:
        if self.augmentation_seed is not None:
            integer("dataset.augmentation_seed", self.augmentation_seed, minimum=0)
        examples = self._examples(self.dataset)
        test = self.test_fraction if self.test is None else self._examples(self.test)
        if examples.targets.dtype.kind != "i":
            return Source(examples, test, "regression", examples.targets.shape[1])
        parts = [examples.targets] + ([test.targets] if isinstance(test, Examples) else [])
        return Source(examples, test, "classification", 1 + max(int(part.max()) for part in parts))

    def _examples(self, dataset: torch.utils.data.Dataset[Any]) -> Examples:
        name = type(dataset).__name__
        if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
            raise OptionError(
                f"dataset={name} is a stream without a length; a dataset with __len__ and __getitem__ is needed."
            )
        count = len(dataset)
        if count == 0:
            raise DataError(f"{name}: there are no examples.")
        inputs: list[npt.NDArray[Any]] = []
        targets: list[npt.NDArray[Any]] = []
        for index in range(count):
            x, y = self._item(dataset, index)
            for first, second in zip((x, y), self._item(dataset, index), strict=True):
                if not np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
                    raise OptionError(
                        f"dataset={name}: item {index} differs from one reading to the next; take the random "
                        "augmentation out, or set augmentation_seed to draw it once."
                    )
            if index > 0 and (x.shape != inputs[0].shape or y.shape != targets[0].shape):
                raise DataError(
                    f"{name}: item {index} has the shapes {list(x.shape)} and {list(y.shape)}, item 0 "
                    f"{list(inputs[0].shape)} and {list(targets[0].shape)}; all must be the same."
                )
            inputs.append(x)
            targets.append(y)
        return Examples(np.stack(inputs), _target_table(np.stack(targets), name))

    def _item(self, dataset: torch.utils.data.Dataset[Any], index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        seed = self.augmentation_seed
        with nullcontext() if seed is None else _seeded(seed + index):
            item = dataset[index]
        name = f"{type(dataset).__name__}: item {index}"
        if not isinstance(item, tuple | list) or len(item) != 2:
            got = f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__
            raise DataError(f"{name} must be a pair (input, target); got {got}.")
        return _numbers(item[0], f"the input of {name}"), _numbers(item[1], f"the target of {name}")


def _target_table(targets: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Class indices [N], or numbers [N, K]."""
    if targets.dtype.kind in "iub" and (targets.ndim == 1 or targets.shape[1:] == (1,)):
        return targets.reshape(-1).astype(np.int64)
    if targets.ndim > 2:
        raise DataError(f"{name}: targets must be numbers or vectors; got the shape {list(targets.shape[1:])}.")
    return targets.reshape(len(targets), -1).astype(np.float64)


def _numbers(value: object, what: str) -> npt.NDArray[Any]:
    # Copied: a dataset may hand out the same buffer again, and two readings would always be equal.
    array = value.detach().cpu().numpy().copy() if isinstance(value, Tensor) else np.array(value)
    # NumPy would take a PIL image too, as [H, W, C] from 0 to 255, where models expect [C, H, W].
    is_image = not isinstance(value, Tensor | np.ndarray) and hasattr(value, "__array_interface__") and array.ndim > 0
    if is_image or array.dtype.kind not in "iubf":
        raise DataError(
            f"{what} is {type(value).__name__}, not a tensor or number: add a transform such as "
            "torchvision.transforms.ToTensor()."
        )
    return array


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global generators that augmentations draw from, seeded here and put back after."""
    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
