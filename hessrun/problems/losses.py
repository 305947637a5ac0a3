"""Losses: each is a mean over examples, and knows which targets and outputs it takes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from hessrun.errors import OptionError
from hessrun.problems.datasets.data import Data


class Loss(ABC):
    """loss(outputs [B, ...], targets [B, ...]) -> the mean over B examples, a scalar."""

    name: ClassVar[str]

    def fitted(self, data: Data) -> "Loss":
        """The loss for this dataset: itself, or another one that it stands for.

        Raises OptionError where it does not suit the dataset's task.
        """
        return self

    def encode(self, targets: Tensor, data: Data) -> Tensor:
        """A split's targets in the form that this loss takes."""
        return targets

    def output_shape(self, data: Data) -> tuple[int, ...] | None:
        """What a model must return for one example; None where any shape may do."""
        return (data.n_outputs,)

    @abstractmethod
    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-1/B sum_i log softmax(outputs_i)[target_i], in nats; outputs [B, K] are logits, targets [B] int64 classes."""

    name: ClassVar[str] = "cross_entropy"
    torch_function = staticmethod(functional.cross_entropy)

    def fitted(self, data: Data) -> Loss:
        if data.task != "classification":
            raise OptionError(
                f"loss=cross_entropy takes classes; dataset {data.name} is a regression: "
                "use loss=mean_squared_error or loss=auto."
            )
        return self

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """1/(B K) sum_i sum_k (outputs_ik - targets_ik)^2: the mean over examples and outputs, without a factor 1/2.

    Classes become one-hot targets (Brier's score over K, for outputs that are not probabilities).
    """

    name: ClassVar[str] = "mean_squared_error"

    def encode(self, targets: Tensor, data: Data) -> Tensor:
        if data.task == "classification":
            return functional.one_hot(targets, data.n_outputs).to(torch.float64)
        return targets

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs, targets)


@dataclass(frozen=True)
class Auto(Loss):
    """Cross entropy for classes, mean squared error for a regression: it stands for one of them once data is there."""

    name: ClassVar[str] = "auto"

    def fitted(self, data: Data) -> Loss:
        return CrossEntropy() if data.task == "classification" else MeanSquaredError()

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise OptionError("loss=auto has no value by itself: take loss.fitted(data), which depends on the task.")


class ForeignLoss(Loss):
    """Any function (outputs, targets) -> mean over examples, such as torch.nn.HuberLoss(), on targets as they are."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._function = function
        # `name` is a class's in the shipped losses and an object's here, whose class says nothing.
        self.name = getattr(function, "__name__", type(function).__name__)  # type: ignore[misc]

    def output_shape(self, data: Data) -> tuple[int, ...] | None:
        return None

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._function(outputs, targets)


def loss_for(data: Data, loss: Loss | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss that trains on this dataset. Raises OptionError for what is no loss or does not suit the task."""
    if isinstance(loss, Loss):
        return loss.fitted(data)
    if isinstance(loss, type) or not callable(loss):
        raise OptionError(f"loss={loss!r}: must be a function (outputs, targets) -> mean over the examples")
    return ForeignLoss(loss)
