"""The function: value, gradient, curvature and what they cost."""

from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.counts import Counter, EvaluationCounts

__all__ = ["Counter", "Curvature", "Evaluation", "EvaluationCounts", "Objective"]
