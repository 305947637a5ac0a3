"""The problem that an optimizer is given: a start, a training objective, minibatches of it, and metrics."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hessrun.objective import Evaluation, Objective


@dataclass(frozen=True)
class ProblemFacts:
    """What the record says of a problem.

    name: `model-dataset`, or an analytic problem's name; kind: `supervised` or `analytic`;
    known_minimum: the least value of the training loss, where it is known.
    details: what else is worth keeping (dataset, model, loss, sizes of the splits, fingerprint of the data ...).
    """

    name: str
    kind: str
    n_parameters: int
    n_examples: int
    known_minimum: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Problem(ABC):
    """A training objective with its start. `x0` is never written to.

    x0: [n], in the objective's dtype and on its device; train: f over the whole training split.
    """

    x0: Tensor
    train: Objective
    facts: ProblemFacts

    @abstractmethod
    def minibatch(self, step: int, size: int) -> Objective:
        """The objective of the batch of `size` examples that belongs to `step`.

        Pure in (seed, step, size): an epoch is a permutation drawn from (seed, epoch), its ragged last batch is kept,
        and passes are counted on `train`'s counter.
        """

    @abstractmethod
    def metrics(self, x: Tensor, evaluation: Evaluation | None = None) -> dict[str, float]:
        """The record's columns on losses at x, never counted: `train_loss`, `gradient_norm`, `gradient_max`,
        and validation and test loss and accuracy where there are such splits.

        evaluation: f with its gradient over the whole training split at x, where the method has it already.
        """
