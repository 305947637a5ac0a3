"""Looks at the curvature of the training loss on a schedule, off the optimizer's clock."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from hessrun.curvature import from_eigenvalues, preconditioned, with_preconditioned
from hessrun.errors import OptionError
from hessrun.objective import Objective
from hessrun.optimizers import SGD, Insight, Optimizer
from hessrun.optimizers.base import Approximation
from hessrun.options import boolean, choice, integer
from hessrun.record import Spectrum
from hessrun.run.looking import look_at, method_for


@dataclass(frozen=True)
class Probe:
    """The Hessian's spectrum at chosen steps; the first and the last step always.

    kind: `exact` (all eigenvalues), `lanczos` (the extreme ones), `density` (all of them as random vectors see them),
    `off`, or `auto`: exact up to `exact_limit` parameters, extreme above.
    schedule: `every` (each `every` steps) or `logarithmic` (1, 2, 4, 8 ...).
    eigenvalues: how many at each end by `lanczos`, 1 or above.
    random_vectors, products: of a density, how many vectors and how many products for each, 1 or above.
    quasi_newton: at each of these steps, a row that says how far a quasi-Newton matrix B is from the Hessian H
    (`curvature.diagnose`), and with the spectrum the `eigenvalues` extreme ones of H B^-1 at each end.
    """

    kind: str = "auto"
    schedule: str = "logarithmic"
    every: int = 10
    exact_limit: int = 4000
    eigenvalues: int = 10
    random_vectors: int = 10
    products: int = 80
    quasi_newton: bool = False

    def __post_init__(self) -> None:
        choice("curvature.kind", self.kind, ("auto", "exact", "lanczos", "density", "off"))
        choice("curvature.schedule", self.schedule, ("logarithmic", "every"))
        integer("curvature.every", self.every, minimum=1)
        integer("curvature.exact_limit", self.exact_limit, minimum=0)
        integer("curvature.eigenvalues", self.eigenvalues, minimum=1)
        integer("curvature.random_vectors", self.random_vectors, minimum=1)
        integer("curvature.products", self.products, minimum=1)
        boolean("curvature.quasi_newton", self.quasi_newton)
        if self.quasi_newton and self.is_off:
            raise OptionError("curvature.quasi_newton=True: curvature=off looks at nothing; choose another kind.")

    @property
    def is_off(self) -> bool:
        return self.kind == "off"

    def is_due(self, step: int) -> bool:
        """The schedule alone; whether a step is the last one the run knows."""
        if self.is_off:
            return False
        if self.schedule == "every":
            return step % self.every == 0
        return step & (step - 1) == 0

    def next_due(self, step: int) -> int | None:
        """The first step after `step` (0 or above) at which the schedule looks; None where it never does."""
        if self.is_off:
            return None
        if self.schedule == "every":
            return (step // self.every + 1) * self.every
        return 1 << step.bit_length()

    def look(
        self, objective: Objective, x: Tensor, insight: Insight, memory: Tensor | None, *, step: int
    ) -> tuple[Spectrum, Tensor | None]:
        """The spectrum at x, and what makes the next look cheaper.

        insight: its eigenvalues are used where they belong to this step. memory: what the last look gave back.
        """
        if insight.eigenvalues is not None and insight.eigenvalues_step == step:
            return from_eigenvalues(insight.eigenvalues, step=step, source="optimizer"), memory
        found, vectors = look_at(
            objective,
            x,
            method=method_for(self.kind, objective.dim, self.exact_limit),
            k=min(self.eigenvalues, objective.dim),
            probes=self.random_vectors,
            steps=self.products,
            start=memory,
            step=step,
            cheaper="curvature=lanczos, density or off",
        )
        if self.quasi_newton and insight.approximation is not None:
            found = self._preconditioned(found, objective, x, insight.approximation)
        return found, memory if vectors is None else vectors

    def _preconditioned(self, found: Spectrum, objective: Objective, x: Tensor, by: Approximation) -> Spectrum:
        """`found` with the extreme eigenvalues of H B^-1 beside it, and what they cost."""
        began, objective = time.perf_counter(), objective.uncounted()
        k = min(self.eigenvalues, objective.dim)
        pairs = preconditioned(objective, x, by.matrix, is_inverse=by.is_inverse, k=k)
        return replace(
            with_preconditioned(found, pairs),
            products=found.products + objective.counts.products,
            seconds=found.seconds + time.perf_counter() - began,
        )


def with_stability_limit(spectrum: Spectrum, optimizer: Optimizer[Any]) -> Spectrum:
    """The spectrum with 2 / lr, above which a step of gradient descent diverges on a quadratic; others as they are."""
    if not isinstance(optimizer, SGD) or optimizer.momentum > 0:
        return spectrum
    lr = optimizer.lr * optimizer.schedule.factor(spectrum.step)
    return replace(spectrum, stability_limit=2 / lr if lr > 0 else math.inf)
