"""The library's one-liner: minimise any torch function of a vector."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hessrun.errors import OptionError
from hessrun.objective import EvaluationCounts, Objective, as_objective
from hessrun.objective.function import Function, require_start
from hessrun.optimizers import LBFGS, Optimizer
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.record import Spectrum
from hessrun.run.budget import Budget
from hessrun.run.listener import Outcome
from hessrun.run.loop import Loop
from hessrun.run.probe import Probe
from hessrun.status import Status


@dataclass(frozen=True)
class Result:
    """What `minimize` found.

    x: [n], the best point that was evaluated; value: f there; gradient: [n]; status: why it ended.
    counts: passes; trace: a row per iteration (`hessrun.record.COLUMNS`); spectra: what a probe saw.
    """

    x: Tensor
    value: float
    gradient: Tensor
    status: Status
    steps: int
    counts: EvaluationCounts
    trace: list[dict[str, Any]]
    spectra: list[Spectrum]


class _Collector:
    """Keeps rows and spectra in memory; the callback's True stops the run."""

    interrupted = False

    def __init__(self, callback: Callable[[dict[str, Any]], bool | None] | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.spectra: list[Spectrum] = []
        self._callback = callback

    def started(self) -> None:
        pass

    def row(self, row: dict[str, Any]) -> bool | None:
        self.rows.append(row)
        return self._callback(row) if self._callback else None

    def spectrum(self, spectrum: Spectrum, x: Tensor) -> None:
        self.spectra.append(spectrum)

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        pass

    def wants_checkpoint(self, step: int) -> bool:
        return False

    def ended(self, outcome: Outcome) -> None:
        pass


def minimize(
    function: Function | Objective,
    x0: Tensor,
    *,
    optimizer: Optimizer[Any] | None = None,
    budget: Budget | None = None,
    probe: Probe | None = None,
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
) -> Result:
    """Minimise a torch function of a vector from x0 [n]; dtype and device are x0's.

    optimizer: L-BFGS by default. budget: 200 iterations or a gradient 1e-6 times that of the start by default.
    probe: looks at the Hessian's spectrum; none by default. callback: is given each row; True stops.
    Raises OptionError and ObjectiveError for arguments of another kind and for what cannot be minimised
    (`as_objective`), TooLargeError for a method whose matrix does not fit.

        >>> import torch, hessrun
        >>> A = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
        >>> found = hessrun.minimize(
        ...     lambda x: 0.5 * x @ A @ x - x.sum(),
        ...     torch.zeros(2, dtype=torch.float64),
        ...     optimizer=hessrun.optimizers.Newton(),
        ... )
        >>> found.status.value, found.steps
        ('converged', 1)
        >>> [round(v, 6) for v in found.x.tolist()]
        [0.4, 0.2]
    """
    require_start(x0)
    for name, part, kind in (("optimizer", optimizer, Optimizer), ("budget", budget, Budget), ("probe", probe, Probe)):
        if part is not None and not isinstance(part, kind):
            raise OptionError(f"{name} must be an instance of hessrun's {kind.__name__} or None; got {part!r}.")
    objective = function if isinstance(function, Objective) else as_objective(function, x0)
    facts = ProblemFacts("function", "analytic", objective.dim, objective.n_examples)
    collector = _Collector(callback)
    outcome = Loop(
        AnalyticProblem(objective, x0.detach(), facts),
        optimizer or LBFGS(),
        budget or Budget(iterations=200, gradient_tolerance=1e-6),
        probe or Probe(kind="off"),
        collector,
    ).run()
    best = outcome.best
    return Result(
        best.x.clone(),
        float(best.value),
        best.gradient.clone(),
        outcome.status,
        outcome.steps,
        outcome.counts,
        collector.rows,
        collector.spectra,
    )
