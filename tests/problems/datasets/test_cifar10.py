"""CIFAR-10 in both versions, from tiny batches of the same formats."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from hessrun.errors import DataError
from hessrun.problems.datasets import CIFAR10

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 4, 3072), dtype=np.uint8)
LABELS = RANDOM.integers(0, 10, (6, 4), dtype=np.uint8)


@pytest.fixture(autouse=True)
def four_images_a_batch(monkeypatch) -> None:
    monkeypatch.setattr(CIFAR10, "images_per_batch", 4)


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, images, labels in zip(NAMES, IMAGES, LABELS, strict=True):
        (folder / f"{name}.bin").write_bytes(np.column_stack([labels, images]).tobytes())


def write_pickled(folder: Path, protocol: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, images, labels in zip(NAMES, IMAGES, LABELS, strict=True):
        batch = {"batch_label": name, "labels": labels.tolist(), "data": images, "filenames": ["x.png"] * 4}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))


def check(dataset: CIFAR10) -> None:
    source = dataset.read()
    assert np.array_equal(source.examples.inputs.reshape(20, 3072), IMAGES[:5].reshape(20, 3072))
    assert np.array_equal(source.examples.targets, LABELS[:5].reshape(-1))
    assert np.array_equal(source.test.inputs.reshape(4, 3072), IMAGES[5])  # type: ignore[union-attr]
    data = dataset.load()
    assert (data.input_shape, data.n_outputs, len(data.train), len(data.test)) == ((3, 32, 32), 10, 18, 4)


@pytest.mark.parametrize("layout", ["", "cifar-10-batches-bin"])
def test_the_binary_version(tmp_path: Path, layout: str) -> None:
    write_binary(tmp_path / layout)
    check(CIFAR10(source=str(tmp_path)))


@pytest.mark.parametrize("layout", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_python_version(tmp_path: Path, layout: str, protocol: int) -> None:
    write_pickled(tmp_path / layout, protocol)
    check(CIFAR10(source=str(tmp_path)))


def test_a_pickle_as_python_2_wrote_it(tmp_path: Path) -> None:
    """Bytes where Python 3 has text, and numpy's older module name."""
    write_pickled(tmp_path)
    pixels = IMAGES[5].tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x04M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS[5]) + b"e"
    (tmp_path / "test_batch").write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u.")
    check(CIFAR10(source=str(tmp_path)))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), r"it names posix\.mkdir, which is no array"),
        (pickle.dumps({"labels": [1]}), r"is no batch of CIFAR-10"),
        (pickle.dumps([1, 2]), r"is no batch of CIFAR-10"),
        (b"", r"is no batch of CIFAR-10, or is truncated"),
        (b"<html>", r"is no batch of CIFAR-10"),
        (pickle.dumps({"data": IMAGES[0], "labels": [0] * 4})[:-40], r"or is truncated"),
        (pickle.dumps({"data": IMAGES[0], "labels": [0] * 3}), r"are not \[N, 3072\] bytes and N whole numbers"),
        (pickle.dumps({"data": IMAGES[0] * 1.0, "labels": [0] * 4}), r"are not \[N, 3072\] bytes"),
        (pickle.dumps({"data": "none", "labels": [0] * 4}), r"are not \[N, 3072\] bytes"),
        (pickle.dumps({"data": IMAGES[0][:3], "labels": [0] * 3}), r"holds 3 images, not 4"),
        (pickle.dumps({"data": IMAGES[0], "labels": [0, 1, 2, 10]}), r"from 0 to 9; found 0 to 10"),
    ],
)
def test_pickles_that_are_no_batch(tmp_path: Path, monkeypatch, content: bytes, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_pickled(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        CIFAR10(source=str(tmp_path)).load()
    assert "data_batch_2" in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_binary_files_that_are_no_batch(tmp_path: Path) -> None:
    write_binary(tmp_path)
    file = tmp_path / "data_batch_3.bin"
    whole = file.read_bytes()
    for content in (whole[:-1], b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"data_batch_3\.bin: truncated or of another kind"):
            CIFAR10(source=str(tmp_path)).load()
    file.write_bytes(whole[:3073])
    with pytest.raises(DataError, match="holds 1 images, not 4"):
        CIFAR10(source=str(tmp_path)).load()


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    write_pickled(tmp_path)
    (tmp_path / "data_batch_4").unlink()
    with pytest.raises(DataError, match=rf"{tmp_path}/data_batch_4: missing"):
        CIFAR10(source=str(tmp_path)).load()


def test_a_download(tmp_path: Path, monkeypatch) -> None:
    def fetch(root: str, download: bool) -> None:
        write_pickled(Path(root) / "cifar-10-batches-py")

    monkeypatch.setattr(CIFAR10, "downloader", lambda self: fetch)
    check(CIFAR10(data_dir=str(tmp_path)))
    folder = tmp_path / "cifar-10-batches-py"
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)


def test_torchvision_has_the_downloader() -> None:
    assert CIFAR10().downloader().__name__ == "CIFAR10"
