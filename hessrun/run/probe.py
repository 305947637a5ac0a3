"""Looks at the curvature of the training loss on a schedule, off the optimizer's clock."""

import time
from dataclasses import dataclass, replace

from torch import Tensor

from hessrun.curvature import extremes, from_eigenvalues, spectrum
from hessrun.errors import OptionError
from hessrun.objective import Objective
from hessrun.optimizers import Insight
from hessrun.options import boolean, choice, integer
from hessrun.record import Spectrum


@dataclass(frozen=True)
class Probe:
    """The Hessian's spectrum at chosen steps; the first and the last step always.

    kind: `exact` (all eigenvalues), `lanczos` (the extreme ones), `off`, or `auto`: exact up to `exact_limit`
    parameters, extreme above.
    schedule: `every` (each `every` steps) or `logarithmic` (1, 2, 4, 8 ...).
    eigenvalues: how many at each end where not all are computed.
    quasi_newton: a row at each of these steps that says how far a quasi-Newton matrix is from the Hessian
    (`curvature.diagnose`).
    """

    kind: str = "auto"
    schedule: str = "logarithmic"
    every: int = 10
    exact_limit: int = 4000
    eigenvalues: int = 10
    quasi_newton: bool = False

    def __post_init__(self) -> None:
        choice("curvature.kind", self.kind, ("auto", "exact", "lanczos", "off"))
        choice("curvature.schedule", self.schedule, ("logarithmic", "every"))
        integer("curvature.every", self.every, minimum=1)
        integer("curvature.exact_limit", self.exact_limit, minimum=0)
        integer("curvature.eigenvalues", self.eigenvalues, minimum=1)
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

    def look(
        self, objective: Objective, x: Tensor, insight: Insight, memory: Tensor | None, *, step: int
    ) -> tuple[Spectrum, Tensor | None]:
        """The spectrum at x, and what makes the next look cheaper.

        objective: with counts of its own. insight: its eigenvalues are used where they belong to this step.
        memory: what the last look gave back.
        """
        began = time.perf_counter()
        before = objective.counts
        if insight.eigenvalues is not None and insight.eigenvalues_step == step:
            found = from_eigenvalues(insight.eigenvalues, step=step, source="optimizer")
        elif self.kind == "exact" or (self.kind == "auto" and objective.dim <= self.exact_limit):
            found = spectrum(objective, x, step=step)
        else:
            found, memory = extremes(objective, x, step=step, k=min(self.eigenvalues, objective.dim), start=memory)
        spent = objective.counts - before
        return replace(found, products=spent.products, seconds=time.perf_counter() - began), memory
