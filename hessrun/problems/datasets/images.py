"""MNIST and Fashion-MNIST: four IDX files, downloaded on first use or taken from a folder that has them."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Source
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.folder import fetch_files, find_files, missing_file
from hessrun.problems.datasets.idx import read_idx

_SIDE, _CLASSES = 28, 10
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, kw_only=True)
class IdxImages(Dataset):
    """Images of 28 x 28 bytes in ten classes, inputs [1, 28, 28] from 0 to 1, with an official test split.

    source: a folder that holds the four files, gzipped or not, flat or in torchvision's layout; None looks below
        `data_dir` in torchvision's layout, and downloads what is missing there.
    data_dir: where downloads go.
    """

    validation_fraction: float = 0.1
    data_dir: str = "data"
    source: str | None = None

    layout: ClassVar[str]

    @abstractmethod
    def downloader(self) -> Callable[..., Any]:
        """torchvision's class of this dataset, which downloads into its `root`."""

    def read(self) -> Source:
        train_images, train_labels, test_images, test_labels = self._files()
        return Source(
            _examples(train_images, train_labels),
            _examples(test_images, test_labels),
            "classification",
            _CLASSES,
            scale=255.0,
        )

    def _files(self) -> list[Path]:
        if self.source is not None:
            source = Path(self.source).expanduser()
            folders = [source, source / self.layout / "raw", source / "raw"]
            for folder in folders:
                if files := find_files(folder, _FILES):
                    return files
            raise missing_file(self.name, folders, _FILES)
        folder = Path(self.data_dir).expanduser() / self.layout / "raw"
        if find_files(folder, _FILES) is None:
            fetch_files(self.name, folder, _FILES, lambda root: self.downloader()(root, download=True))
        files = find_files(folder, _FILES)
        if files is None:
            raise missing_file(self.name, [folder], _FILES)
        return files


@dataclass(frozen=True, kw_only=True)
class MNIST(IdxImages):
    """70,000 handwritten digits, of which 10,000 are the official test split (LeCun et al., 1998)."""

    name: ClassVar[str] = "mnist"
    layout: ClassVar[str] = "MNIST"

    def downloader(self) -> Callable[..., Any]:
        import torchvision.datasets  # a second to import

        downloader: Callable[..., Any] = torchvision.datasets.MNIST
        return downloader


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(IdxImages):
    """70,000 pieces of clothing, of which 10,000 are the official test split (Xiao, Rasul and Vollgraf, 2017)."""

    name: ClassVar[str] = "fashion_mnist"
    layout: ClassVar[str] = "FashionMNIST"

    def downloader(self) -> Callable[..., Any]:
        import torchvision.datasets  # a second to import

        downloader: Callable[..., Any] = torchvision.datasets.FashionMNIST
        return downloader


def _examples(images: Path, labels: Path) -> Examples:
    inputs, targets = read_idx(images, dimensions=3), read_idx(labels, dimensions=1)
    if inputs.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"{images}: holds images of {inputs.shape[1]} x {inputs.shape[2]}, not {_SIDE} x {_SIDE}.")
    if len(inputs) != len(targets):
        raise DataError(f"{labels}: holds {len(targets)} labels for the {len(inputs)} images of {images.name}.")
    if len(targets) == 0:
        raise DataError(f"{images}: holds no image.")
    if targets.max() >= _CLASSES:
        raise DataError(f"{labels}: labels must be from 0 to {_CLASSES - 1}; found {targets.max()}.")
    return Examples(inputs[:, None], targets)
