"""CIFAR-10, from the batches of its binary or its Python version."""

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Source
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.folder import content_of, fetch_files, find_files, missing_file

_PICKLED = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_BINARY = tuple(f"{name}.bin" for name in _PICKLED)
_PICKLED_FOLDER, _BINARY_FOLDER = "cifar-10-batches-py", "cifar-10-batches-bin"
_SHAPE, _PIXELS, _CLASSES = (3, 32, 32), 3 * 32 * 32, 10


@dataclass(frozen=True, kw_only=True)
class CIFAR10(Dataset):
    """60,000 colour photographs, inputs [3, 32, 32] from 0 to 1, of which 10,000 are the test split (Krizhevsky, 2009).

    Both published versions are read: the binary one (`data_batch_1.bin` ...) and torchvision's (`data_batch_1` ...).
    The latter's files are pickles; they are unpickled with nothing but arrays and plain containers admitted, so that a
    file from elsewhere cannot run code.

    source: a folder that holds the six batches, flat or below the archive's folder; None looks below `data_dir`, and
        downloads what is missing there.
    data_dir: where downloads go.
    """

    name: ClassVar[str] = "cifar10"
    images_per_batch: ClassVar[int] = 10_000

    validation_fraction: float = 0.1
    data_dir: str = "data"
    source: str | None = None

    def downloader(self) -> Callable[..., Any]:
        """torchvision's class of this dataset, which downloads into its `root`."""
        import torchvision.datasets  # a second to import

        downloader: Callable[..., Any] = torchvision.datasets.CIFAR10
        return downloader

    def read(self) -> Source:
        batches = [self._batch(path) for path in self._files()]
        images, labels = zip(*batches, strict=True)
        train = Examples(np.concatenate(images[:-1]), np.concatenate(labels[:-1]))
        return Source(train, Examples(images[-1], labels[-1]), "classification", _CLASSES, scale=255.0)

    def _files(self) -> list[Path]:
        root = Path(self.data_dir if self.source is None else self.source).expanduser()
        folders = [root, root / _PICKLED_FOLDER, root / _BINARY_FOLDER]
        if found := _complete(folders):
            return found
        if self.source is not None:
            raise missing_file(self.name, folders, _PICKLED)
        folder = root / _PICKLED_FOLDER
        fetch_files(self.name, folder, _PICKLED, lambda place: self.downloader()(place, download=True))
        found = find_files(folder, _PICKLED)
        if found is None:
            raise missing_file(self.name, [folder], _PICKLED)
        return found

    def _batch(self, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Images [N, 3, 32, 32] and labels [N] of a file."""
        content = content_of(path)
        is_binary = path.name.removesuffix(".gz").endswith(".bin")
        images, labels = _from_binary(content, path) if is_binary else _from_pickle(content, path)
        if len(images) != self.images_per_batch:
            raise DataError(
                f"{path}: holds {len(images)} images, not {self.images_per_batch}: truncated or of another kind."
            )
        if labels.min() < 0 or labels.max() >= _CLASSES:
            raise DataError(f"{path}: labels must be from 0 to {_CLASSES - 1}; found {labels.min()} to {labels.max()}.")
        return images.reshape(-1, *_SHAPE), labels


def _complete(folders: Sequence[Path]) -> list[Path] | None:
    """All six batches of one version, in the first folder that has them."""
    for folder in folders:
        for names in (_BINARY, _PICKLED):
            if found := find_files(folder, names):
                return found
    return None


def _from_binary(content: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Records of one byte of label and 3,072 of pixels."""
    records, rest = divmod(len(content), 1 + _PIXELS)
    if rest or records == 0:
        raise DataError(
            f"{path}: truncated or of another kind: {len(content)} bytes are no whole number of records of "
            f"{1 + _PIXELS} bytes."
        )
    table = np.frombuffer(content, np.uint8).reshape(records, 1 + _PIXELS)
    return table[:, 1:], table[:, 0].astype(np.int64)


class _ArraysOnly(pickle.Unpickler):
    """Admits numpy's arrays and plain containers; anything else that a pickle names is refused, not imported."""

    def find_class(self, module: str, name: str) -> Any:
        admitted: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _latin1,
        }
        # numpy's function that rebuilds an array, under its names before and since numpy 2.
        rebuild = np.empty(0).__reduce__()[0]
        admitted |= {(home, "_reconstruct"): rebuild for home in ("numpy.core.multiarray", "numpy._core.multiarray")}
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return admitted[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the older pickle protocols."""
    return text.encode("latin1")


def _from_pickle(content: bytes, path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A dictionary with `data`, [N, 3072] bytes, and `labels`, N whole numbers; written by Python 2."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images, labels = batch["data"], np.asarray(batch["labels"])
    # What the unpickler raises on damaged input depends on where it is damaged.
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{path}: is no batch of CIFAR-10, or is truncated ({error}); get it anew.") from None
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.shape[1:] != (_PIXELS,)
        or labels.dtype.kind not in "iu"
        or labels.shape != images.shape[:1]
    ):
        raise DataError(f"{path}: its `data` and `labels` are not [N, {_PIXELS}] bytes and N whole numbers.")
    return images, labels.astype(np.int64)
