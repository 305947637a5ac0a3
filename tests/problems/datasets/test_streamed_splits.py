"""A dataset that is read in each pass: the same splits, fingerprint and risk, to the bit, as of one in memory."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset, TensorDataset

from hessrun.errors import DataError, OptionError
from hessrun.problems import supervised
from hessrun.problems.datasets import Diabetes, Digits, MemoryMapped, TorchDataset
from hessrun.problems.datasets.blocks import blocks
from hessrun.problems.datasets.standardise import Moments
from hessrun.problems.losses import Auto, MeanSquaredError
from hessrun.problems.models import mlp

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 2, 3, 3), dtype=np.uint8)
CLASSES = RANDOM.integers(0, 4, 60)
NUMBERS = RANDOM.normal(size=(60, 2))


class Items(Dataset):
    """Pairs, and how many threads asked for one at once."""

    def __init__(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        self._pairs = list(zip(inputs, targets, strict=True))
        self._inside = self.most = 0
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int):
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self.asked.append(index)
        try:
            return self._pairs[index]
        finally:
            with self._lock:
                self._inside -= 1


@pytest.fixture
def make(tmp_path):
    """kind, targets -> a dataset of the images."""

    def made(kind: str, targets: np.ndarray, **options):
        if kind == "items":
            return TorchDataset(dataset=Items(IMAGES, targets), **options)
        np.save(tmp_path / "inputs.npy", IMAGES)
        np.save(tmp_path / "targets.npy", targets)
        paths = {name: str(tmp_path / f"{name}.npy") for name in ("inputs", "targets")}
        return MemoryMapped(**paths, **options)

    return made


def rows(split) -> torch.Tensor:
    return split.read(np.arange(len(split))).inputs if hasattr(split, "read") else split.inputs


@pytest.mark.parametrize("kind", ["items", "mapped"])
@pytest.mark.parametrize("targets", [CLASSES, NUMBERS, NUMBERS[:, 0]], ids=["classes", "columns", "numbers"])
@pytest.mark.parametrize("options", [{}, {"standardise": False}, {"limit": 7, "split_seed": 3}])
def test_streamed_or_not_the_data_is_the_same(make, kind: str, targets: np.ndarray, options: dict) -> None:
    held = make(kind, targets, in_memory=True, **options).load()
    streamed = make(kind, targets, in_memory=False, **options).load()
    assert streamed.fingerprint == held.fingerprint
    assert streamed.details == held.details
    assert (streamed.task, streamed.n_outputs, streamed.input_shape) == (held.task, held.n_outputs, (2, 3, 3))
    for name in ("train", "validation", "test"):
        here, there = getattr(held, name), getattr(streamed, name)
        assert len(here) == len(there)
        assert torch.equal(rows(there), here.inputs)
        backwards = there.read(np.arange(len(there))[::-1])
        assert torch.equal(backwards.targets.flip(0), here.targets)
        if name != "train" and held.task == "classification":
            assert torch.equal(there.classes, here.targets)


@pytest.mark.parametrize("kind", ["items", "mapped"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [Auto(), MeanSquaredError()])
def test_the_problem_is_the_same_to_the_bit(make, kind: str, dtype: torch.dtype, loss) -> None:
    found = []
    for in_memory in (True, False):
        problem = supervised(make(kind, CLASSES, in_memory=in_memory), mlp, loss, dtype=dtype, chunk_size=11)
        x = problem.x0 + 0.1
        batch = problem.minibatch(3, 8).evaluate(x)
        found.append((problem.train.evaluate(x), batch, problem.train.hessian(x), problem.metrics(x)))
    (full, batch, hessian, metrics), (other, other_batch, other_hessian, other_metrics) = found
    assert torch.equal(full.value, other.value)
    assert torch.equal(full.gradient, other.gradient)
    assert torch.equal(batch.gradient, other_batch.gradient)
    assert torch.equal(hessian, other_hessian)
    assert metrics == other_metrics
    assert {"validation_accuracy", "test_accuracy", "test_loss"} <= metrics.keys()


@pytest.mark.parametrize("dataset", [Digits, Diabetes])
def test_any_dataset_streams(dataset) -> None:
    held, streamed = (dataset(in_memory=in_memory).load() for in_memory in (True, False))
    assert held.fingerprint == streamed.fingerprint
    assert torch.equal(streamed.train.held().inputs, held.train.inputs)


def test_the_fingerprint_is_that_of_the_arrays_of_each_split(make) -> None:
    """Its definition, which must not change: a record's fingerprint is compared with that of later versions."""
    data = make("mapped", CLASSES, standardise=False, validation_fraction=0.1, test_fraction=0.2).load()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).numpy()
    digest = hashlib.sha256()
    for part in (order[18:], order[12:18], order[:12]):
        for array in (IMAGES[part], CLASSES[part]):
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    assert data.fingerprint == digest.hexdigest()


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    shape=st.sampled_from([(3,), (2, 2, 2), ()]),
    shift=st.sampled_from([0.0, 1e6]),
)
@settings(max_examples=50, deadline=None)
def test_moments_do_not_depend_on_the_blocks(sizes: list[int], shape: tuple[int, ...], shift: float) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    values = torch.randn(sum(sizes), *shape, generator=generator, dtype=torch.float64) + shift
    moments = Moments()
    for part in torch.split(values, sizes):
        moments.add(part)
    found = moments.affine()
    over = (0, 2, 3) if values.ndim == 4 else (0,)
    torch.testing.assert_close(found.mean, values.mean(over, keepdim=True)[0], rtol=1e-13, atol=1e-13)
    if sum(sizes) > 1:
        deviation = values.std(over, correction=0, keepdim=True)[0]
        torch.testing.assert_close(found.deviation, deviation, rtol=1e-9, atol=1e-9)


def test_a_constant_feature_of_many_blocks_becomes_zero() -> None:
    moments = Moments()
    for _ in range(50):
        moments.add(torch.full((3, 2), 0.1, dtype=torch.float64))
    assert moments.affine().apply(torch.full((1, 2), 0.1, dtype=torch.float64)).abs().max() < 1e-12


@given(count=st.integers(0, 20_000), shape=st.sampled_from([(), (10,), (3, 300, 300)]))
@settings(deadline=None)
def test_blocks_cover_all_once(count: int, shape: tuple[int, ...]) -> None:
    found = list(blocks(count, shape))
    assert [i for block in found for i in range(block.start, block.stop)] == list(range(count))


def test_official_test_examples_stream_too(tmp_path) -> None:
    paths = {}
    for name, array in (("inputs", IMAGES), ("targets", CLASSES), ("test_inputs", IMAGES[:5])):
        np.save(tmp_path / f"{name}.npy", array)
        paths[name] = str(tmp_path / f"{name}.npy")
    np.save(tmp_path / "test_targets.npy", np.array([[5], [0], [1], [2], [3]], dtype=np.uint8))
    data = MemoryMapped(**paths, test_targets=str(tmp_path / "test_targets.npy"), scale=255.0, standardise=False).load()
    assert (len(data.test), data.n_outputs) == (5, 6)
    assert data.test.classes.tolist() == [5, 0, 1, 2, 3]
    assert torch.equal(data.test.held().inputs, torch.from_numpy(IMAGES[:5] / 255.0))


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_decoded_by_so_many_threads(workers: int) -> None:
    items = Items(IMAGES, CLASSES)
    data = TorchDataset(dataset=items, in_memory=False, workers=workers).load()
    held = TorchDataset(dataset=Items(IMAGES, CLASSES)).load()
    assert torch.equal(rows(data.train), held.train.inputs)
    assert items.most <= workers


def test_a_minibatch_decodes_its_items_alone() -> None:
    items = Items(IMAGES, CLASSES)
    problem = supervised(TorchDataset(dataset=items, in_memory=False), mlp, Auto())
    items.asked.clear()
    batch = problem.minibatch(0, 4)
    for _ in range(3):
        batch.evaluate(problem.x0)
    assert len(items.asked) == 4


class Restless(Items):
    """Items of which one is not the same twice."""

    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return (x + len(self.asked), y) if index == 17 else (x, y)


class Mixed(Items):
    """Items of several dtypes."""

    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return (x.astype(np.float32), y) if index == 17 else (x, y)


@pytest.mark.parametrize(
    ("dataset", "options", "error", "message"),
    [
        (Restless(IMAGES, CLASSES), {}, OptionError, "item 17 differs from one reading to the next"),
        (Restless(IMAGES, CLASSES), {"workers": 2}, OptionError, "item 17 differs from one reading to the next"),
        (Mixed(IMAGES, CLASSES), {}, DataError, "some inputs are (float32|uint8) and others"),
        (
            TensorDataset(torch.full((9, 2), torch.nan), torch.zeros(9)),
            {},
            DataError,
            "the inputs hold values that are not finite",
        ),
        (Items(IMAGES, CLASSES), {"augmentation_seed": 1}, OptionError, "needs dataset.in_memory=true"),
        (Items(IMAGES, CLASSES), {"workers": 0}, OptionError, "dataset.workers=0"),
        (Items(IMAGES, CLASSES), {"in_memory": "no"}, OptionError, "dataset.in_memory='no': must be true or false"),
        (Items(IMAGES, CLASSES * 1000), {}, DataError, "whole numbers are classes"),
    ],
)
def test_items_that_do_not_fit(dataset, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TorchDataset(dataset=dataset, **{"in_memory": False, **options}).load()
