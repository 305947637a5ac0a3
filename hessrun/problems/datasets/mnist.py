"""MNIST and Fashion-MNIST, from the four files in the IDX format (LeCun, Cortes and Burges, 1998)."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Source
from hessrun.problems.datasets.download import downloaded, keep
from hessrun.problems.datasets.stored import StoredDataset, read_bytes

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SIDE = 28
_CLASSES = 10
# The third byte of an IDX header is the type, the fourth the number of dimensions.
_UNSIGNED_BYTE = 0x08


class _IdxDataset(StoredDataset):
    """Images of [1, 28, 28] from 0 to 1 in ten classes, with an official test split."""

    def read(self) -> Source:
        train_images, train_labels, test_images, test_labels = self.locate(_FILES)
        examples = _examples(train_images, train_labels)
        test = _examples(test_images, test_labels)
        return Source(examples, test, "classification", _CLASSES, scale=255.0)

    def fetch(self, missing: Sequence[str], folder: Path) -> None:
        mirrors, resources = self._remote()
        for archive, md5 in resources:
            if Path(archive).stem in missing:
                with downloaded([mirror + archive for mirror in mirrors], folder, md5=md5, goal=archive) as path:
                    keep(path, folder / archive)

    @abstractmethod
    def _remote(self) -> tuple[Sequence[str], Sequence[tuple[str, str]]]:
        """torchvision's mirrors, and the archives with their md5."""


@dataclass(frozen=True, kw_only=True)
class Mnist(_IdxDataset):
    """60,000 and 10,000 handwritten digits, inputs [1, 28, 28] from 0 to 1, ten classes (LeCun et al., 1998)."""

    name: ClassVar[str] = "mnist"
    folder: ClassVar[str] = "MNIST/raw"

    def _remote(self) -> tuple[Sequence[str], Sequence[tuple[str, str]]]:
        from torchvision.datasets import MNIST

        return MNIST.mirrors, MNIST.resources


@dataclass(frozen=True, kw_only=True)
class FashionMnist(_IdxDataset):
    """60,000 and 10,000 articles of clothing, inputs [1, 28, 28] from 0 to 1, ten classes (Xiao et al., 2017)."""

    name: ClassVar[str] = "fashion_mnist"
    folder: ClassVar[str] = "FashionMNIST/raw"

    def _remote(self) -> tuple[Sequence[str], Sequence[tuple[str, str]]]:
        from torchvision.datasets import FashionMNIST

        return FashionMNIST.mirrors, FashionMNIST.resources


def _examples(images_path: Path, labels_path: Path) -> Examples:
    images, labels = read_idx(images_path, dimensions=3), read_idx(labels_path, dimensions=1)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"{images_path}: holds images of {list(images.shape[1:])} pixels, not [{_SIDE}, {_SIDE}].")
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: holds {len(labels)} labels, but {images_path.name} {len(images)} images; they are of "
            "different sets."
        )
    return Examples(images[:, None], labels)


def read_idx(path: Path, *, dimensions: int) -> npt.NDArray[Any]:
    """The array of bytes in an IDX file, gzipped or not.

    Raises DataError unless its magic number says unsigned bytes in so many dimensions and its length is exactly theirs.
    """
    content = read_bytes(path)
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{path}: is no IDX file of bytes in {dimensions} dimensions: it begins with {content[:4].hex(' ') or '(nothing)'}, "
            f"not {magic.hex(' ')}."
        )
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        raise DataError(f"{path}: is {state}: {len(content):,} bytes unpacked, {expected:,} expected; get it anew.")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
