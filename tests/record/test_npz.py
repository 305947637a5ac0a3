"""Archives of arrays come back as NumPy reads them, and nothing in them is executed."""

import zipfile

import numpy as np
import pytest

from hessrun.record.npz import read_arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_it_reads_what_numpy_reads(tmp_path, save):
    written = {
        "matrix": np.arange(6.0).reshape(2, 3),
        "by_columns": np.asfortranarray(np.arange(6).reshape(3, 2)),
        "number": np.asarray(3),
        "word": np.asarray("lanczos"),
        "truth": np.asarray(True),
        "nothing": np.empty(0),
        "single": np.ones(4, dtype=np.float32),
    }
    save(tmp_path / "a.npz", **written)
    found = read_arrays(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as expected:
        assert found.keys() == set(expected.files)
        for name, array in found.items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name])


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="objects"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("cut", [4, 20, 150])
def test_an_array_that_is_cut_off_is_an_error(tmp_path, cut):
    np.savez(tmp_path / "whole.npz", x=np.arange(20.0))
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole, zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", whole.read("x.npy")[:cut])
    with pytest.raises(ValueError, match=r".+"):
        read_arrays(tmp_path / "a.npz")
