"""What the tests of the methods share: functions as problems, paths, resumption, counted calls."""

import io

import torch

from hessrun.objective import as_objective
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.problem import ProblemFacts


def problem(function, x0):
    """A torch function of a vector, with its start."""
    return AnalyticProblem(as_objective(function, x0), x0, ProblemFacts("f", "analytic", len(x0), 1))


def made(analytic, factor=1.0):
    """An analytic function, times a number."""
    return problem(lambda x: factor * analytic.objective._function(x), analytic.x0)


def walk(method, f, steps, state=None):
    """The state after the steps, and x after each of them, [steps, n]."""
    state, path = method.init(f) if state is None else state, []
    for _ in range(steps):
        state = method.step(f, state)
        path.append(state.x)
    return state, torch.stack(path)


def resumes_bitwise(method, f, before, after):
    """Whether a path that was saved after some steps and loaded goes on to the last bit."""
    _, whole = walk(method, f, before + after)
    state, _ = walk(method, f, before)
    file = io.BytesIO()
    torch.save(method.dump(state), file)
    file.seek(0)
    _, rest = walk(method, f, after, method.load(torch.load(file, weights_only=True)))
    return torch.equal(rest, whole[before:])


class Calls:
    """Counts what an objective is really asked for: gradients, and products of its curvature."""

    def __init__(self, objective, monkeypatch):
        self.products = self.gradients = 0
        curvature, evaluate = objective._curvature, objective._evaluate

        def counted_curvature(x, kind):
            made_here = curvature(x, kind)
            product = made_here._product

            def counted_product(v):
                self.products += 1
                return product(v)

            made_here._product = counted_product
            return made_here

        def counted_evaluate(x, gradient):
            self.gradients += 1
            return evaluate(x, gradient)

        monkeypatch.setattr(objective, "_curvature", counted_curvature)
        monkeypatch.setattr(objective, "_evaluate", counted_evaluate)
