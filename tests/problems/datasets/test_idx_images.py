"""MNIST's kin: tiny files of the format, what is wrong with damaged ones, and the real Fashion-MNIST."""

import gzip
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch

from hessrun.errors import DataError
from hessrun.problems.datasets import MNIST, FashionMNIST
from hessrun.problems.datasets.idx import read_idx

REAL = Path("/usr/share/datasets/fashion-mnist")
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
RANDOM = np.random.default_rng(0)
ARRAYS = {
    TRAIN_IMAGES: RANDOM.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    TRAIN_LABELS: RANDOM.integers(0, 10, 20, dtype=np.uint8),
    TEST_IMAGES: RANDOM.integers(0, 256, (6, 28, 28), dtype=np.uint8),
    TEST_LABELS: RANDOM.integers(0, 10, 6, dtype=np.uint8),
}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write(folder: Path, *, gzipped: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAYS.items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return folder


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("layout", ["", "FashionMNIST/raw", "raw"])
def test_a_source_may_be_flat_or_torchvisions_gzipped_or_not(tmp_path: Path, gzipped: bool, layout: str) -> None:
    write(tmp_path / layout, gzipped=gzipped)
    dataset = FashionMNIST(source=str(tmp_path), standardise=False, validation_fraction=0.25)
    source = dataset.read()
    assert np.array_equal(source.examples.inputs[:, 0], ARRAYS[TRAIN_IMAGES])
    assert np.array_equal(source.examples.targets, ARRAYS[TRAIN_LABELS])
    data = dataset.load()
    assert (len(data.train), len(data.validation), len(data.test)) == (15, 5, 6)
    expected = torch.from_numpy(ARRAYS[TEST_IMAGES][:, None] / 255.0)
    torch.testing.assert_close(data.test.inputs, expected)
    assert data.test.targets.tolist() == ARRAYS[TEST_LABELS].tolist()


def test_files_in_the_data_folder_are_used_without_a_download(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "MNIST" / "raw", gzipped=False)
    monkeypatch.setattr(MNIST, "downloader", lambda self: pytest.fail("no download is needed"))
    assert len(MNIST(data_dir=str(tmp_path)).load().test) == 6


def test_a_gzip_stream_is_told_by_content(tmp_path: Path) -> None:
    write(tmp_path, gzipped=False)
    (tmp_path / TRAIN_IMAGES).write_bytes(gzip.compress(idx(ARRAYS[TRAIN_IMAGES])))
    assert MNIST(source=str(tmp_path)).load().name == "mnist"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (TRAIN_IMAGES, idx(ARRAYS[TRAIN_IMAGES])[:-1], r"train-images.*: truncated.*it has 15695"),
        (TRAIN_IMAGES, idx(ARRAYS[TRAIN_IMAGES]) + b"x", r"too long"),
        (TRAIN_IMAGES, idx(ARRAYS[TRAIN_IMAGES])[:9], r"truncated: its header needs 16 bytes, it has 9"),
        (TRAIN_IMAGES, b"", r"not an IDX file"),
        (TRAIN_IMAGES, idx(ARRAYS[TRAIN_LABELS]), r"not an IDX file of bytes with 3 dimensions.*00000801"),
        (TRAIN_IMAGES, gzip.compress(idx(ARRAYS[TRAIN_IMAGES]))[:-20], r"truncated"),
        (TRAIN_IMAGES, b"\x1f\x8b\x08\x00 no stream at all", r"cannot be read"),
        (TRAIN_IMAGES, b"<html>moved</html>", r"not an IDX file"),
        (TRAIN_IMAGES, idx(np.zeros((20, 8, 8), np.uint8)), r"holds images of 8 x 8, not 28 x 28"),
        (TRAIN_IMAGES, idx(np.zeros((19, 28, 28), np.uint8)), r"holds 20 labels for the 19 images"),
        (TRAIN_LABELS, idx(np.full(20, 10, np.uint8)), r"labels must be from 0 to 9; found 10"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write(tmp_path, gzipped=False)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        MNIST(source=str(tmp_path)).load()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_files(tmp_path: Path) -> None:
    write(tmp_path, gzipped=False)
    (tmp_path / TEST_IMAGES).write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    (tmp_path / TEST_LABELS).write_bytes(idx(np.zeros(0, np.uint8)))
    with pytest.raises(DataError, match="holds no image"):
        MNIST(source=str(tmp_path)).load()


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path, gzipped=True)
    (tmp_path / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(DataError, match=rf"{tmp_path}/{TEST_LABELS}: missing \(also as {TEST_LABELS}\.gz\)"):
        MNIST(source=str(tmp_path)).load()
    with pytest.raises(DataError, match=r"dataset\.source=.*nowhere: no such folder"):
        MNIST(source=str(tmp_path / "nowhere")).load()


def _downloader(action):
    return lambda self: lambda root, download: action(Path(root))


def test_a_download_comes_whole(tmp_path: Path, monkeypatch) -> None:
    fetch = _downloader(lambda root: write(root / "MNIST" / "raw", gzipped=False))
    monkeypatch.setattr(MNIST, "downloader", fetch)
    assert len(MNIST(data_dir=str(tmp_path)).load().test) == 6
    raw = tmp_path / "MNIST" / "raw"
    assert sorted(path.name for path in raw.iterdir()) == sorted(ARRAYS)


@pytest.mark.parametrize("error", [urllib.error.URLError("no route to host"), RuntimeError("wrong\nchecksum")])
def test_a_download_that_fails_leaves_nothing(tmp_path: Path, monkeypatch, error: Exception) -> None:
    def half(root: Path) -> None:
        (root / TRAIN_IMAGES).write_bytes(b"half")
        raise error

    monkeypatch.setattr(FashionMNIST, "downloader", _downloader(half))
    with pytest.raises(DataError, match=r"fashion_mnist cannot be downloaded into .*FashionMNIST/raw") as caught:
        FashionMNIST(data_dir=str(tmp_path / "data")).load()
    assert TRAIN_IMAGES in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_without_the_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(MNIST, "downloader", _downloader(lambda root: None))
    with pytest.raises(DataError, match=f"mnist: the download holds no {TRAIN_IMAGES}"):
        MNIST(data_dir=str(tmp_path)).load()


def test_torchvision_has_both_downloaders() -> None:
    assert MNIST().downloader().__name__ == "MNIST"
    assert FashionMNIST().downloader().__name__ == "FashionMNIST"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not installed")
def test_the_real_fashion_mnist() -> None:
    data = FashionMNIST(source=str(REAL), limit=500).load()
    assert (len(data.train), len(data.validation), len(data.test)) == (500, 6000, 10_000)
    assert data.input_shape == (1, 28, 28)
    assert data.test.targets.bincount().tolist() == [1000] * 10
    images = read_idx(REAL / f"{TRAIN_IMAGES}.gz", dimensions=3)
    assert images.shape == (60_000, 28, 28)
    # The mean and deviation that every tutorial quotes.
    assert images.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
