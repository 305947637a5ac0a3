"""Analytic functions as problems."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.objective.analytic import rosenbrock
from hessrun.problems import AnalyticProblem, ProblemFacts

FACTS = ProblemFacts("rosenbrock", "analytic", 2, 1, known_minimum=0.0)


def test_metrics_at_the_standard_start() -> None:
    function = rosenbrock()
    problem = AnalyticProblem(function.objective, function.x0, FACTS)
    found = problem.metrics(problem.x0)
    # f(-1.2, 1) = 24.2 with the gradient (-215.6, -88).
    assert found == pytest.approx(
        {"train_loss": 24.2, "gradient_norm": (215.6**2 + 88**2) ** 0.5, "gradient_max": 215.6}
    )
    assert problem.train.counts.gradients == 0
    evaluation = problem.train.evaluate(problem.x0)
    assert problem.metrics(problem.x0, evaluation) == found
    assert problem.train.counts.gradients == 1


def test_every_batch_is_the_whole_function() -> None:
    function = rosenbrock()
    problem = AnalyticProblem(function.objective, function.x0, FACTS)
    assert problem.minibatch(3, 32) is problem.train
    with pytest.raises(OptionError, match="batch_size=0"):
        problem.minibatch(0, 0)


def test_the_start_is_a_copy_that_fits() -> None:
    function = rosenbrock()
    problem = AnalyticProblem(function.objective, function.x0, FACTS)
    function.x0.zero_()
    assert problem.x0.tolist() == [-1.2, 1.0]
    for wrong in (torch.zeros(3, dtype=torch.float64), torch.zeros(2)):
        with pytest.raises(OptionError, match=r"x0 must be a vector \[2\] of torch\.float64"):
            AnalyticProblem(function.objective, wrong, FACTS)
