"""The embedded datasets against scikit-learn's own loaders."""

import numpy as np
import pytest
import sklearn.datasets
import torch

from hessrun.errors import DataError
from hessrun.problems.datasets import BreastCancer, Diabetes, Digits, Wine, embedded


@pytest.mark.parametrize(
    ("dataset", "loader", "scale"),
    [
        (Digits(), sklearn.datasets.load_digits, 16.0),
        (BreastCancer(), sklearn.datasets.load_breast_cancer, 1.0),
        (Wine(), sklearn.datasets.load_wine, 1.0),
        (Diabetes(), lambda: sklearn.datasets.load_diabetes(scaled=False), 1.0),
    ],
)
def test_same_as_scikit_learn(dataset, loader, scale: float) -> None:
    source, theirs = dataset.read(), loader()
    assert np.array_equal(source.examples.inputs.reshape(len(theirs.data), -1), theirs.data)
    assert np.array_equal(source.examples.targets.reshape(-1), theirs.target)
    assert source.scale == scale
    classes = len(np.unique(theirs.target)) if source.task == "classification" else 1
    assert source.n_outputs == classes
    data = dataset.load()
    assert data.name == dataset.name
    assert torch.isfinite(data.train.inputs).all()


def test_a_file_that_is_missing_damaged_or_different(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(embedded, "_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"wine_data\.csv: missing from this version of scikit-learn"):
        Wine().load()
    file = tmp_path / "wine_data.csv"
    file.write_text("header\n1,2,3\n")
    with pytest.raises(DataError, match=r"holds a table \[1, 3\], not \[178, 14\]"):
        Wine().load()
    file.write_text("header\n1,two,3\n")
    with pytest.raises(DataError, match="cannot be read"):
        Wine().load()
    (tmp_path / "digits.csv.gz").write_bytes(b"\x1f\x8b\x08 and no more")
    with pytest.raises(DataError, match="cannot be read"):
        Digits().load()


def test_without_scikit_learn(monkeypatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        Digits().load()
