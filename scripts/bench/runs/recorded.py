"""Runs of the command in this process, as the record has them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from hessrun.cli.build import build
from hessrun.cli.composing import compose_words
from hessrun.problems.learning import SupervisedProblem
from hessrun.record import Run, read_run
from hessrun.run import Experiment, run_experiment


@dataclass(frozen=True)
class Recorded:
    """run: as it was read back; x: [n], its last point."""

    run: Run
    x: Tensor


class Command:
    """A configuration, composed and built once; each run has a folder of its own. Raises HessrunError as a run does."""

    def __init__(self, words: Sequence[str]) -> None:
        self._experiment: Experiment = build(*compose_words(words).resolved())

    @property
    def problem(self) -> SupervisedProblem:
        """What it trains."""
        problem = self._experiment.problem
        if not isinstance(problem, SupervisedProblem):
            raise TypeError("the benchmark trains networks")
        return problem

    def run(self, *, target_loss: float | None = None) -> Recorded:
        """To the end of its budget, or to a training loss."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "run")
            budget = replace(self._experiment.budget, target_loss=target_loss)
            ended = run_experiment(replace(self._experiment, folder=folder, budget=budget))
            if ended.outcome is None:
                raise RuntimeError(ended.error)
            return Recorded(read_run(folder), ended.outcome.x)
