"""The numbers of a record: measured on the device, read from it once."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.objective import Evaluation, Objective


def gradient_measures(objective: Objective, x: Tensor, evaluation: Evaluation | None) -> dict[str, Tensor]:
    """f(x), and the 2-norm and the largest component of its gradient, as scalars on x's device; never counted.

    evaluation: f with its gradient at x, where it is there already; otherwise f is evaluated once.
    """
    if evaluation is None or evaluation.gradient_or_none is None:
        evaluation = objective.uncounted().evaluate(x)
    gradient = evaluation.gradient
    return {
        "train_loss": evaluation.value,
        "gradient_norm": torch.linalg.vector_norm(gradient),
        "gradient_max": torch.linalg.vector_norm(gradient, float("inf")),
    }


def read(measures: Mapping[str, Tensor]) -> dict[str, float]:
    """The scalars as numbers, by one transfer from the device."""
    values = numbers(*(value.detach().double() for value in measures.values()))
    return dict(zip(measures, values, strict=True))
