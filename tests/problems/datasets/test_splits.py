"""Splitting, standardising and fingerprinting, for a dataset that is made here."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch

from hessrun.errors import DataError, OptionError
from hessrun.problems.datasets import Dataset, Examples, Source


@dataclass(frozen=True, kw_only=True)
class Made(Dataset):
    """Twenty examples by default, each carrying its number."""

    name: ClassVar[str] = "made"

    inputs: np.ndarray = field(default_factory=lambda: np.column_stack([np.arange(20), np.full(20, 7)]))
    targets: np.ndarray = field(default_factory=lambda: np.arange(20) % 3)
    test: Examples | float = 0.2
    task: str = "classification"
    n_outputs: int = 3
    scale: float = 1.0

    def read(self) -> Source:
        return Source(Examples(self.inputs, self.targets), self.test, self.task, self.n_outputs, self.scale)  # type: ignore[arg-type]


def numbers(split) -> list[int]:
    return split.inputs[:, 0].int().tolist()


def test_each_example_is_in_one_split() -> None:
    data = Made(standardise=False, validation_fraction=0.1).load()
    assert (len(data.test), len(data.validation), len(data.train)) == (4, 2, 14)
    assert sorted(numbers(data.train) + numbers(data.validation) + numbers(data.test)) == list(range(20))
    for split in (data.train, data.validation, data.test):
        assert split.targets.tolist() == [number % 3 for number in numbers(split)]
        assert (split.inputs.dtype, split.targets.dtype) == (torch.float64, torch.int64)
    assert (data.input_shape, data.n_outputs, data.name) == ((2,), 3, "made")


def test_the_split_seed_decides_the_split_and_the_limit_cuts_training_alone() -> None:
    whole, again, other = (Made(standardise=False, split_seed=seed).load() for seed in (1, 1, 2))
    assert numbers(whole.train) == numbers(again.train) != numbers(other.train)
    assert whole.fingerprint == again.fingerprint != other.fingerprint
    short = Made(standardise=False, split_seed=1, limit=5).load()
    assert numbers(short.train) == numbers(whole.train)[:5]
    assert numbers(short.test) == numbers(whole.test)
    assert numbers(short.validation) == numbers(whole.validation)
    assert short.fingerprint != whole.fingerprint


def test_an_official_test_split_is_kept() -> None:
    official = Examples(np.array([[100, 1], [101, 1]]), np.array([0, 1]))
    data = Made(standardise=False, test=official, validation_fraction=0.1).load()
    assert numbers(data.test) == [100, 101]
    assert (len(data.train), len(data.validation)) == (18, 2)


def test_standardisation_is_fitted_on_the_training_split_alone() -> None:
    data, plain = Made().load(), Made(standardise=False).load()
    first = data.train.inputs[:, 0]
    assert first.mean().abs() < 1e-12
    assert (first.square().mean() - 1).abs() < 1e-12
    mean, deviation = plain.train.inputs[:, 0].mean(), plain.train.inputs[:, 0].std(correction=0)
    torch.testing.assert_close(data.test.inputs[:, 0], (plain.test.inputs[:, 0] - mean) / deviation)
    # The second feature is 7 everywhere: it becomes 0 and not a division by 0.
    assert data.train.inputs[:, 1].tolist() == [0.0] * len(data.train)
    assert data.fingerprint == plain.fingerprint


def test_images_are_standardised_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 2, 3, 3), dtype=np.uint8)
    data = Made(inputs=images, scale=255.0).load()
    means = data.train.inputs.mean(dim=(0, 2, 3))
    squares = data.train.inputs.square().mean(dim=(0, 2, 3))
    torch.testing.assert_close(means, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(squares, torch.ones(2, dtype=torch.float64))
    plain = Made(inputs=images, scale=255.0, standardise=False).load()
    assert 0 <= plain.train.inputs.min() < plain.train.inputs.max() <= 1


def test_the_targets_of_a_regression_are_standardised_and_the_record_can_undo_it() -> None:
    targets = np.random.default_rng(0).normal(50, 9, (20, 2))
    data = Made(targets=targets, task="regression", n_outputs=2).load()
    plain = Made(targets=targets, task="regression", n_outputs=2, standardise=False).load()
    # Predicting the training mean has a mean squared error of 1.
    assert data.train.targets.square().mean().item() == pytest.approx(1)
    undone = data.test.targets * torch.tensor(data.details["target_deviation"]) + torch.tensor(
        data.details["target_mean"]
    )
    torch.testing.assert_close(undone, plain.test.targets, check_dtype=False, rtol=1e-6, atol=1e-6)
    assert "target_mean" not in plain.details


def test_loading_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    Made().load()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 1.0}, r"dataset\.validation_fraction=1\.0"),
        ({"validation_fraction": 0.9, "test": 0.3}, r"leaves none of 20 examples to train on"),
        ({"test": -0.1}, r"dataset\.test_fraction=-0\.1"),
        ({"split_seed": -1}, r"dataset\.split_seed=-1"),
        ({"limit": 0}, r"dataset\.limit=0: must be a whole number, 1 or above"),
        ({"standardise": "yes"}, r"dataset\.standardise='yes': must be true or false"),
    ],
)
def test_options_outside_their_ranges(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Made(**options).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": np.zeros((0, 2)), "targets": np.zeros(0)}, r"made: there are no examples"),
        ({"inputs": np.full((20, 2), np.nan)}, r"made: the inputs hold values that are not finite"),
        ({"targets": np.full(20, np.inf), "task": "regression"}, r"made: the targets hold values that are not finite"),
        ({"targets": np.arange(20)}, r"made: classes must be from 0 to 2; found 1\d"),
        ({"test": Examples(np.zeros((3, 5)), np.zeros(3))}, r"test inputs have the shape \[5\], training inputs \[2\]"),
    ],
)
def test_data_that_does_not_fit(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Made(**options).load()
