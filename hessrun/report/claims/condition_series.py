"""Series of problems that differ in nothing but their condition number, and how iterations grow along them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessrun.record import Run
from hessrun.report.claims.records import families, known, seeds_of
from hessrun.report.groups import Array, Entry, Group, end_word
from hessrun.report.numbers import last, median_final_loss, spread
from hessrun.report.statistics import median_interval, slope

KAPPAS = 3  # condition numbers that a growth takes
_KAPPA = "condition_number"
_TOLERANCES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_SPENT = ("iterations_spent", "evaluations_spent", "seconds_spent")


@dataclass(frozen=True)
class Conditioned:
    """One optimizer on problems of ascending condition number, each [problems]: for each the best of its settings."""

    name: str
    kappa: Array
    entries: tuple[Entry, ...]

    @property
    def runs(self) -> list[Run]:
        return [run for entry in self.entries for run in entry.compared]

    def iterations(self, tolerance: float) -> Array:
        """The median over runs of the iterations until the gradient norm fell to `tolerance` of its first value."""
        costs = [[iterations_to(run, tolerance) for run in entry.compared] for entry in self.entries]
        return np.array([float(np.median(found)) for found in costs])


def iterations_to(run: Run, tolerance: float) -> float:
    """The first step whose gradient norm is at most `tolerance` times the first one; infinite if none is."""
    steps, norms = known(run, "step", "gradient_norm")
    reached = np.flatnonzero(norms <= tolerance * norms[0]) if norms.size else norms
    return float(steps[reached[0]]) if reached.size else math.inf


def series_of(groups: Sequence[Group], name: str) -> list[Conditioned]:
    """All series of an optimizer over two or more condition numbers, the longest first."""
    found = []
    for family in families([g for g in groups if _KAPPA in g.details], _KAPPA):
        best = {}
        for group in family:
            own = [e for e in group.entries if e.name == name and e.minimises_objective and e.compared]
            if own:
                best[float(group.details[_KAPPA])] = min(own, key=median_final_loss)
        kappas = sorted(best)
        if len(kappas) > 1:
            found.append(Conditioned(name, np.array(kappas), tuple(best[k] for k in kappas)))
    return sorted(found, key=lambda series: -series.kappa.size)


def conditioned(groups: Sequence[Group], *names: str) -> list[Conditioned]:
    """Of each optimizer its longest series, in the order of the names."""
    return [series[0] for name in names if (series := series_of(groups, name))]


@dataclass(frozen=True)
class Growth:
    """exponent: the slope of log iterations against log kappa. iterations: [problems], infinite for a miss.

    is_bound: a miss stands in it with the iterations that were made, so that the exponent is a lower bound.
    """

    exponent: float
    tolerance: float
    iterations: Array
    is_bound: bool


def growth_of(series: Conditioned) -> Growth | None:
    """The growth to the tightest tolerance that is reached at two condition numbers; None with fewer than three.

    No condition number counts that is above the inverse of the tolerance: the small eigenvalues of a worse problem
    would not have to be resolved.
    """
    made = np.array([spread([last(run, "step") for run in entry.compared]).median for entry in series.entries])
    for tolerance in _TOLERANCES:
        iterations = series.iterations(tolerance)
        missed = np.isinf(iterations)
        short = [entry for entry, is_missed in zip(series.entries, missed, strict=True) if is_missed]
        if any(end_word(run) not in _SPENT for entry in short for run in entry.compared):
            continue  # it stopped by itself before: no budget was too small
        least = np.where(missed, made, iterations)
        usable = (least > 0) & (series.kappa <= 1.001 / tolerance)
        if usable.sum() >= KAPPAS and (usable & ~missed).sum() >= 2:
            exponent = slope(np.log(series.kappa[usable]), np.log(least[usable]))
            return Growth(exponent, tolerance, iterations, bool((usable & missed).any()))
    return None


def growth_interval(series: Conditioned, tolerance: float) -> tuple[float, float] | None:
    """Of the slope, over seeds that reached the tolerance at every condition number; None for fewer than two."""
    each = [[iterations_to(run, tolerance) for run in entry.compared] for entry in series.entries]
    if seeds_of(series.runs) < 2 or len({len(found) for found in each}) > 1:
        return None
    by_seed = set(zip(*each, strict=True))
    usable = [costs for costs in by_seed if np.isfinite(costs).all() and min(costs) > 0]
    return median_interval([slope(np.log(series.kappa), np.log(costs)) for costs in usable])
