"""The items of a map-style torch dataset as rows of a table: decoded when asked for, and the same every time."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data
from torch import Tensor

from hessrun.errors import DataError, OptionError
from hessrun.problems.datasets.data import Examples, Rows

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class Items:
    """Pairs (input, target); all have the shapes of item 0.

    dataset: has a length and items; augmentation_seed: None, or what item i draws its randomness from, less i.
    workers: threads that decode, 1 or above; with 1 the dataset is never called twice at once.

    Raises OptionError for a dataset without length, DataError for one that is empty or whose item 0 is no pair.
    """

    def __init__(
        self, dataset: torch.utils.data.Dataset[Any], *, augmentation_seed: int | None = None, workers: int = 1
    ) -> None:
        self._dataset, self._name = dataset, type(dataset).__name__
        self._seed, self._workers = augmentation_seed, workers
        self._lock = threading.Lock()
        if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
            raise OptionError(
                f"dataset={self._name} is a stream without a length; a dataset with __len__ and __getitem__ is needed."
            )
        self._count = len(dataset)
        if self._count == 0:
            raise DataError(f"{self._name}: there are no examples.")
        self._first = self._item(0)

    def __len__(self) -> int:
        return self._count

    def take(self, rows: Rows) -> Examples:
        return self._stacked(rows, self._item)

    def inspect(self, rows: Rows) -> Examples:
        """Every item is read twice. Raises OptionError for one that differs, DataError for one of another shape."""
        return self._stacked(rows, self._same_twice)

    def _stacked(self, rows: Rows, read: Callable[[int], Pair]) -> Examples:
        with self._lock:
            if self._workers == 1:
                pairs = [read(index) for index in rows.tolist()]
            else:
                with ThreadPoolExecutor(self._workers, thread_name_prefix="hessrun-decode") as pool:
                    pairs = list(pool.map(read, rows.tolist()))
        # Of no rows, the shapes and dtypes of item 0.
        inputs, targets = zip(*(pairs or [self._first]), strict=True)
        few = slice(len(rows))
        return Examples(np.stack(inputs)[few], _target_table(np.stack(targets), self._name)[few])

    def _same_twice(self, index: int) -> Pair:
        x, y = self._item(index)
        for first, second in zip((x, y), self._item(index), strict=True):
            if not np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
                raise OptionError(
                    f"dataset={self._name}: item {index} differs from one reading to the next; take the random "
                    "augmentation out, or set augmentation_seed to draw it once."
                )
        if x.shape != self._first[0].shape or y.shape != self._first[1].shape:
            raise DataError(
                f"{self._name}: item {index} has the shapes {list(x.shape)} and {list(y.shape)}, item 0 "
                f"{list(self._first[0].shape)} and {list(self._first[1].shape)}; all must be the same."
            )
        return x, y

    def _item(self, index: int) -> Pair:
        with nullcontext() if self._seed is None else _seeded(self._seed + index):
            item = self._dataset[index]
        name = f"{self._name}: item {index}"
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
