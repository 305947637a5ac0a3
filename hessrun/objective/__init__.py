"""The function: value, gradient, curvature and what they cost."""

from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.counts import Counter, EvaluationCounts
from hessrun.objective.examples import Examples, InMemory, Streamed
from hessrun.objective.function import FunctionObjective, as_objective
from hessrun.objective.restriction import restrict
from hessrun.objective.risk import EmpiricalRisk

__all__ = [
    "Counter",
    "Curvature",
    "EmpiricalRisk",
    "Evaluation",
    "EvaluationCounts",
    "Examples",
    "FunctionObjective",
    "InMemory",
    "Objective",
    "Streamed",
    "as_objective",
    "restrict",
]
