"""A function of a vector as a problem: there are no examples to sample from or to hold out."""

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.objective import Evaluation, Objective
from hessrun.options import integer
from hessrun.problems.measures import gradient_measures, read
from hessrun.problems.problem import Problem, ProblemFacts


class AnalyticProblem(Problem):
    """An objective with its start.

    objective: f: R^n -> R; x0: [n], in the objective's dtype and on its device; facts: what the record says of it.
    Raises OptionError for a start of another length or dtype.
    """

    def __init__(self, objective: Objective, x0: Tensor, facts: ProblemFacts) -> None:
        if x0.shape != (objective.dim,) or x0.dtype != objective.dtype:
            raise OptionError(
                f"x0 must be a vector [{objective.dim}] of {objective.dtype}; got {list(x0.shape)} of {x0.dtype}."
            )
        self.train, self.facts = objective, facts
        self.x0 = x0.detach().clone()

    def minibatch(self, step: int, size: int) -> Objective:
        """The whole function: every batch of it is all of it."""
        integer("step", step, minimum=0)
        integer("batch_size", size, minimum=1)
        return self.train

    def metrics(self, x: Tensor, evaluation: Evaluation | None = None) -> dict[str, float]:
        """`train_loss`, `gradient_norm` and `gradient_max`; the difference to the minimum is the reader's."""
        with torch.no_grad():
            return read(gradient_measures(self.train, x, evaluation))
