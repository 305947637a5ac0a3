"""Problems: a dataset, a model and a loss joined to one function of one vector, or an analytic function."""

from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.composition import supervised
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.problem import Problem, ProblemFacts

__all__ = ["AnalyticProblem", "Problem", "ProblemFacts", "SupervisedProblem", "supervised"]
