"""Any torch dataset: read once, checked to be the same twice."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from hessrun.errors import DataError, OptionError
from hessrun.problems.datasets import TorchDataset


class Items(Dataset):
    """Items of a function of the index."""

    def __init__(self, item, count: int = 12) -> None:
        self._item, self._count = item, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int):
        return self._item(index)


def load(item, **options):
    options = {"standardise": False, "test_fraction": 0.0, "validation_fraction": 0.0, **options}
    return TorchDataset(dataset=Items(item), **options).load()


def test_whole_numbers_are_classes() -> None:
    for target in (lambda i: i % 3, lambda i: np.int64(i % 3), lambda i: torch.tensor([i % 3])):
        data = load(lambda i, target=target: (torch.full((1, 2, 2), float(i)), target(i)))
        assert (data.task, data.n_outputs, data.input_shape, data.name) == ("classification", 3, (1, 2, 2), "Items")
        assert data.train.targets.tolist() == [int(v) % 3 for v in data.train.inputs[:, 0, 0, 0]]


def test_other_numbers_are_a_regression() -> None:
    data = load(lambda i: (np.array([i, 1.0]), 0.5 * i))
    assert (data.task, data.n_outputs, data.train.targets.shape) == ("regression", 1, (12, 1))
    data = load(lambda i: (np.array([i, 1.0]), torch.tensor([0.5 * i, 1.0])))
    assert (data.task, data.n_outputs) == ("regression", 2)


def test_an_official_test_split() -> None:
    part = TensorDataset(torch.ones(4, 2), torch.tensor([0, 1, 2, 3]))
    data = TorchDataset(dataset=Items(lambda i: (torch.zeros(2), i % 2)), test=part).load()
    assert (len(data.test), data.n_outputs) == (4, 4)


def test_random_items_are_refused_unless_seeded() -> None:
    def augmented(i: int):
        return torch.rand(2) + random.random() + np.random.rand(), i % 2  # noqa: S311

    with pytest.raises(OptionError, match=r"dataset=Items: item 0 differs .* augmentation_seed"):
        load(augmented)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first, second, other = (load(augmented, augmentation_seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert len(first.train.inputs.unique(dim=0)) == 12
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def test_a_buffer_that_is_handed_out_again_does_not_hide_randomness() -> None:
    buffer = torch.zeros(2)
    with pytest.raises(OptionError, match="differs"):
        load(lambda i: (buffer.add_(1), 0))


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2), 0


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (Stream(), OptionError, r"dataset=Stream is a stream without a length"),
        (Items(None, count=0), DataError, r"Items: there are no examples"),
        (Items(lambda i: torch.zeros(2)), DataError, r"item 0 must be a pair \(input, target\); got Tensor"),
        (Items(lambda i: (1.0, 2.0, 3.0)), DataError, r"item 0 must be a pair .*; got 3 values"),
        (Items(lambda i: (torch.zeros(2 + i), 0)), DataError, r"item 1 has the shapes \[3\] and \[\], item 0 \[2\]"),
        (Items(lambda i: (torch.zeros(2), "cat")), DataError, r"the target of Items: item 0 is str"),
        (Items(lambda i: (Image.new("RGB", (5, 4)), 0)), DataError, r"the input of Items: item 0 is Image, .*ToTensor"),
        (Items(lambda i: (object(), 0)), DataError, r"the input of Items: item 0 is object, .*ToTensor"),
        (Items(lambda i: (torch.zeros(2), torch.zeros(2, 2))), DataError, r"targets must be numbers or vectors"),
        (Items(lambda i: (torch.zeros(2), -1)), DataError, r"classes must be from 0"),
    ],
)
def test_odd_datasets(dataset, error, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        TorchDataset(dataset=dataset).load()
    assert "\n" not in str(caught.value)


def test_the_seed_is_checked() -> None:
    with pytest.raises(OptionError, match=r"dataset\.augmentation_seed=-1"):
        load(lambda i: (torch.zeros(2), 0), augmentation_seed=-1)
