"""The small real datasets whose files scikit-learn carries; read directly, since importing it takes a second."""

import importlib.util
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hessrun.errors import DataError
from hessrun.problems.datasets.data import Examples, Source
from hessrun.problems.datasets.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """1,797 handwritten digits, inputs [1, 8, 8] from 0 to 1, ten classes (Alpaydin and Kaynak, 1998)."""

    name: ClassVar[str] = "digits"
    test_fraction: float = 0.15

    def read(self) -> Source:
        table = _table("digits.csv.gz", (1797, 65))
        images = table[:, :-1].reshape(-1, 1, 8, 8)
        return Source(Examples(images, table[:, -1]), self.test_fraction, "classification", 10, scale=16.0)


@dataclass(frozen=True, kw_only=True)
class BreastCancer(Dataset):
    """569 tumours, 30 features, two classes: 0 malignant, 1 benign (Street, Wolberg and Mangasarian, 1993)."""

    name: ClassVar[str] = "breast_cancer"
    test_fraction: float = 0.15

    def read(self) -> Source:
        table = _table("breast_cancer.csv", (569, 31), header=1)
        return Source(Examples(table[:, :-1], table[:, -1]), self.test_fraction, "classification", 2)


@dataclass(frozen=True, kw_only=True)
class Wine(Dataset):
    """178 wines, 13 features, three classes: the cultivars (Aeberhard and Forina, 1991)."""

    name: ClassVar[str] = "wine"
    test_fraction: float = 0.15

    def read(self) -> Source:
        table = _table("wine_data.csv", (178, 14), header=1)
        return Source(Examples(table[:, :-1], table[:, -1]), self.test_fraction, "classification", 3)


@dataclass(frozen=True, kw_only=True)
class Diabetes(Dataset):
    """442 patients, 10 features; the target measures the disease's progression after a year (Efron et al., 2004)."""

    name: ClassVar[str] = "diabetes"
    test_fraction: float = 0.15

    def read(self) -> Source:
        inputs = _table("diabetes_data_raw.csv.gz", (442, 10), delimiter=None)
        targets = _table("diabetes_target.csv.gz", (442, 1))
        return Source(Examples(inputs, targets), self.test_fraction, "regression", 1)


def _folder() -> Path:
    """Where scikit-learn keeps its data files, found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("scikit-learn, which carries this dataset's file, is missing: pip install scikit-learn.")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _table(name: str, shape: tuple[int, int], *, header: int = 0, delimiter: str | None = ",") -> npt.NDArray[Any]:
    path = _folder() / name
    try:
        table = np.loadtxt(path, delimiter=delimiter, skiprows=header, ndmin=2)
    except FileNotFoundError:
        raise DataError(f"{path}: missing from this version of scikit-learn; reinstall it.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); reinstall scikit-learn.") from None
    if table.shape != shape:
        raise DataError(f"{path}: holds a table {list(table.shape)}, not {list(shape)}; reinstall scikit-learn.")
    return table
