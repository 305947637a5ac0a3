"""The supervised problem: the risk over a training split, its minibatches, and what held-out splits say."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun import ranks
from hessrun.objective import EmpiricalRisk, Evaluation, Objective
from hessrun.objective.sharded import ShardedRisk
from hessrun.problems.batches import BatchOrder
from hessrun.problems.measures import gradient_measures, read
from hessrun.problems.problem import Problem, ProblemFacts


@dataclass(frozen=True)
class HeldOut:
    """A split that is measured but not trained on.

    name: `validation` or `test`, the prefix of its columns; risk: the mean loss over it, without weight decay;
    classes: [N] int64, or None for a regression, which has no accuracy.
    share: what means over the examples here count in the mean over all ranks, above 0 and up to 1.
    """

    name: str
    risk: EmpiricalRisk
    classes: Tensor | None
    share: float = 1.0

    def measures(self, x: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy (the share in [0, 1] whose largest output is the class), from one pass over the split.

        What they add up to over all ranks is the mean.
        """
        outputs, targets = self.risk.predictions(x)
        found = {f"{self.name}_loss": self.share * self.risk.loss(outputs, targets).double()}
        if self.classes is not None:
            found[f"{self.name}_accuracy"] = self.share * (outputs.argmax(dim=1) == self.classes).double().mean()
        return found


class SupervisedProblem(Problem):
    """min over x of 1/N sum_i loss(model_x(input_i), target_i) + 1/2 sum_j w_j x_j^2, with held-out splits.

    train: the risk over the training split, whose module's parameters are the start; held_out: the other splits;
    seed: of the order of the batches; facts: what the record says of it. `supervised` builds one from its parts.
    """

    train: EmpiricalRisk | ShardedRisk

    def __init__(
        self,
        train: EmpiricalRisk | ShardedRisk,
        held_out: tuple[HeldOut, ...],
        *,
        seed: int,
        facts: ProblemFacts,
    ) -> None:
        self.train, self.facts = train, facts
        self.x0 = train.x0
        self._held_out = held_out
        self._batches = BatchOrder(train.n_examples, seed, train.device)

    def minibatch(self, step: int, size: int) -> Objective:
        indices = self._batches.indices(step, size)
        return self.train if len(indices) == self.train.n_examples else self.train.subset(indices)

    @torch.no_grad()
    def metrics(self, x: Tensor, evaluation: Evaluation | None = None) -> dict[str, float]:
        found = gradient_measures(self.train, x, evaluation)
        shares: dict[str, Tensor] = {}
        for split in self._held_out:
            shares |= split.measures(x)
        if shares:
            found |= zip(shares, ranks.sum_(torch.stack(list(shares.values()))), strict=True)
        return read(found)

    def state_dict(self, x: Tensor) -> dict[str, Tensor]:
        """The model's parameters at x and its buffers, as copies: what `load_state_dict` of the plain module takes."""
        return self.train.state_dict(x)
