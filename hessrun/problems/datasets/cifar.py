"""CIFAR-10, from the batches of its binary or its Python version."""

import io
import pickle
import shutil
import tarfile
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

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = ("test_batch",)
_PIXELS = 3 * 32 * 32
_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Cifar10(StoredDataset):
    """50,000 and 10,000 colour photographs, inputs [3, 32, 32] from 0 to 1, ten classes (Krizhevsky, 2009).

    Both published versions are read: the binary one (`data_batch_1.bin` ...) and torchvision's (`data_batch_1` ...),
    whose files are pickles; these are unpickled with nothing but arrays and plain containers admitted, so that a file
    from elsewhere cannot run code.
    """

    name: ClassVar[str] = "cifar10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    examples_per_batch: ClassVar[int] = 10_000

    def read(self) -> Source:
        binary = self._has_binary()
        parts = [self._examples(names, binary) for names in (_TRAIN, _TEST)]
        return Source(parts[0], parts[1], "classification", _CLASSES, scale=255.0)

    def fetch(self, missing: Sequence[str], folder: Path) -> None:
        from torchvision.datasets import CIFAR10

        with downloaded([CIFAR10.url], folder, md5=CIFAR10.tgz_md5, goal=missing[0]) as archive:
            for name in missing:
                extracted = archive.with_name(name)
                with tarfile.open(archive) as tar:
                    member = tar.extractfile(f"{self.folder}/{name}")
                    if member is None:
                        raise DataError(f"{name}: is no file in the archive {CIFAR10.filename}.")
                    with member, extracted.open("wb") as file:
                        shutil.copyfileobj(member, file)
                keep(extracted, folder / name)

    def _has_binary(self) -> bool:
        root = Path(self.data_dir if self.source is None else self.source).expanduser()
        return any((root / below / f"{_TRAIN[0]}.bin").is_file() for below in ("", "cifar-10-batches-bin"))

    def _examples(self, names: Sequence[str], binary: bool) -> Examples: ...
