"""The losses against their formulas, and how they suit a dataset."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.problems.datasets import Data, Split
from hessrun.problems.losses import Auto, CrossEntropy, ForeignLoss, MeanSquaredError, loss_for


def data(task: str) -> Data:
    targets = torch.tensor([0, 2, 1]) if task == "classification" else torch.randn(3, 3, dtype=torch.float64)
    split = Split(torch.zeros(3, 2, dtype=torch.float64), targets)
    return Data("three", task, 3, split, split, split, "0" * 64)  # type: ignore[arg-type]


def test_cross_entropy_is_the_mean_negative_log_softmax() -> None:
    outputs, classes = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 0])
    expected = sum(-torch.log(o.exp()[c] / o.exp().sum()) for o, c in zip(outputs, classes, strict=True)) / 5
    torch.testing.assert_close(CrossEntropy()(outputs, classes), expected)


def test_mean_squared_error_is_over_examples_and_outputs_without_a_half() -> None:
    outputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    assert MeanSquaredError()(outputs, torch.zeros(2, 2, dtype=torch.float64)).item() == (1 + 4 + 9 + 16) / 4


def test_mean_squared_error_takes_classes_as_one_hot() -> None:
    encoded = MeanSquaredError().encode(torch.tensor([0, 2, 1]), data("classification"))
    assert encoded.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert encoded.dtype == torch.float64
    targets = data("regression").train.targets
    assert MeanSquaredError().encode(targets, data("regression")) is targets


def test_auto_goes_by_the_task() -> None:
    assert loss_for(data("classification"), Auto()) == CrossEntropy()
    assert loss_for(data("regression"), Auto()) == MeanSquaredError()
    with pytest.raises(OptionError, match="fitted"):
        Auto()(torch.zeros(1), torch.zeros(1))


def test_any_function_is_a_loss() -> None:
    huber = loss_for(data("regression"), torch.nn.HuberLoss())
    assert isinstance(huber, ForeignLoss)
    assert (huber.name, huber.output_shape(data("regression"))) == ("HuberLoss", None)
    assert huber(torch.ones(2), torch.zeros(2)).item() == 0.5
    assert loss_for(data("regression"), torch.nn.functional.l1_loss).name == "l1_loss"


def test_refusals() -> None:
    with pytest.raises(OptionError, match=r"dataset three is a regression: use loss=mean_squared_error or loss=auto"):
        loss_for(data("regression"), CrossEntropy())
    for wrong in (3, CrossEntropy):
        with pytest.raises(OptionError, match="must be a function"):
            loss_for(data("classification"), wrong)  # type: ignore[arg-type]
