"""What a step costs as the number of parameters n grows: seconds and bytes, on problems that differ in n alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessrun.record import Run
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import families, folders, known, lacking, seeds_of
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import last
from hessrun.report.statistics import median_interval, slope
from hessrun.report.words import plural

_SIZE = ("n", "n_parameters")
_SCALED = ("newton", "bfgs", "lbfgs")
_DECADE = 10.0
_SIZES = 3
_SPAN = 3.0
_RISING = 0.2


@dataclass(frozen=True)
class Scaling:
    """The cost of a step of one optimizer over problems of growing size, each [sizes], n ascending.

    label: the entry's where n is largest, whose colour it is drawn in;
    seconds, bytes: medians over runs; each: seconds of every run by size.
    """

    name: str
    label: str
    n: Array
    seconds: Array
    bytes: Array
    each: tuple[tuple[float, ...], ...]
    runs: tuple[Run, ...]

    @property
    def top(self) -> Array:
        """Which sizes lie in the top decade of n, [sizes] of booleans."""
        return np.asarray(self.n >= self.n[-1] / _DECADE)

    def exponent(self, values: Array) -> float:
        """The slope of log values against log n over the top decade."""
        return slope(np.log(self.n[self.top]), np.log(values[self.top]))

    @property
    def is_rising(self) -> bool:
        """The slope still grows towards the top: smaller terms, or what a call costs, are not yet left behind."""
        x, y = np.log(self.n[self.top]), np.log(self.seconds[self.top])
        local = np.diff(y) / np.diff(x)
        return bool(local[-1] > local[0] + _RISING)

    def interval(self) -> tuple[float, float] | None:
        """Of the exponent of seconds: its median's bootstrap interval over seeds; None for fewer than two seeds."""
        x = np.log(self.n[self.top])
        used = [costs for costs, is_top in zip(self.each, self.top, strict=True) if is_top]
        if seeds_of(self.runs) < 2 or len({len(costs) for costs in used}) > 1 or len(used[0]) < 2:
            return None
        return median_interval([slope(x, np.log(costs)) for costs in zip(*used, strict=True)])


def seconds_per_late_step(run: Run) -> float:
    """Optimizer seconds an iteration over the later half of a run, where its matrices are full; nan without a step."""
    steps, seconds = known(run, "step", "seconds")
    if steps.size < 2:
        return math.nan
    # By steps, not by rows: a compact record has fewer of the later ones.
    half = int(np.searchsorted(steps, steps[-1] / 2))
    middle = min(max(1, half), steps.size - 2) if steps.size > 2 else 0
    return float((seconds[-1] - seconds[middle]) / (steps[-1] - steps[middle]))


def _scaling(members: list[tuple[Group, Entry]]) -> Scaling | None:
    n, seconds, size, each, runs = [], [], [], [], []
    ordered = sorted(members, key=lambda member: member[0].n_parameters)
    for group, entry in ordered:
        timed = [run for run in entry.compared if seconds_per_late_step(run) > 0 and last(run, "state_bytes") > 0]
        if timed:
            costs = tuple(seconds_per_late_step(run) for run in timed)
            n.append(float(group.n_parameters))
            each.append(costs)
            seconds.append(float(np.median(costs)))
            size.append(float(np.median([last(run, "state_bytes") for run in timed])))
            runs += timed
    if len(set(n)) < len(n) or not n:
        return None  # two settings of one optimizer at one size: none stands for it
    return Scaling(
        name=ordered[-1][1].name,
        label=ordered[-1][1].label,
        n=np.array(n),
        seconds=np.array(seconds),
        bytes=np.array(size),
        each=tuple(each),
        runs=tuple(runs),
    )


def scalings(groups: Sequence[Group], *names: str) -> list[Scaling]:
    """For each optimizer the family of problems on which it was taken furthest."""
    found: dict[str, Scaling] = {}
    for family in families(groups, *_SIZE):
        for name in names:
            made = _scaling([(g, e) for g in family for e in g.entries if e.name == name and e.minimises_objective])
            if made is not None and (name not in found or made.n[-1] > found[name].n[-1]):
                found[name] = made
    return [found[name] for name in names if name in found]


def _chart(found: Sequence[Scaling]) -> Chart:
    panels = []
    for label, of in (
        ("optimizer time per iteration (s)", "seconds"),
        ("state between steps (bytes)", "bytes"),
    ):
        series = []
        for scaling in found:
            values: Array = getattr(scaling, of)
            series.append(Series(scaling.name, scaling.label, scaling.n, values, drawn="both"))
            if scaling.top.sum() > 1:
                x = scaling.n[scaling.top]
                power = scaling.exponent(values)
                middle = np.exp(np.log(values[scaling.top]).mean() - power * np.log(x).mean())
                series.append(Series(f"{scaling.name}: n^{power:.2f}", "", x, middle * x**power))
        panels.append(Panel(tuple(series), "parameters n", label, x_scale="log", y_scale="log"))
    caption = "Cost of a step against n: medians over seeds, and the power of n fitted over the top decade."
    return Chart("step-cost", caption, tuple(panels))


@dataclass(frozen=True)
class _Expected:
    name: str
    words: str
    order: str
    low: float
    high: float
    memory: str
    largest: float
    """Below this n the fixed cost of a call hides the order."""


_NEWTON = _Expected("newton", "Newton's method", "O(n^3)", 2.5, 3.5, "n^2", 2000)
_BFGS = _Expected("bfgs", "BFGS", "O(n^2)", 1.7, 2.3, "n^2", 4000)
_LBFGS = _Expected("lbfgs", "L-BFGS", "O(m n)", 0.8, 1.2, "n", 100_000)


def _step_cost(groups: Sequence[Group], expected: _Expected, correction: str) -> Claim:
    name, statement = f"{expected.name}_step_cost", f"A step of {expected.words} costs {expected.order}."
    every = scalings(groups, *_SCALED)
    mine = next((s for s in every if s.name == expected.name), None)
    if mine is None or mine.top.sum() < _SIZES or mine.n[-1] < _SPAN * mine.n[mine.top][0]:
        sizes = 0 if mine is None else int(mine.top.sum())
        what = (
            f"{plural(sizes, 'size')} n of one problem within a decade: a slope takes {_SIZES} or more, over a factor "
            f"of {_SPAN:g} or more."
        )
        return lacking(name, statement, what, correction=correction, runs=() if mine is None else mine.runs)
    power, memory = mine.exponent(mine.seconds), mine.exponent(mine.bytes)
    evidence = (
        f"From n = {mine.n[mine.top][0]:,.0f} to {mine.n[-1]:,.0f} the seconds per iteration grow as n^{power:.2f} "
        f"(at the top {mine.seconds[-1]:.3g} s) and the bytes it keeps between steps as n^{memory:.2f} "
        f"({_size(mine.bytes[-1])})."
    )
    within = expected.low <= power <= expected.high
    verdict = Verdict.SUPPORTED if within else Verdict.CONTRADICTED
    if not within and power < expected.low and (mine.is_rising or mine.n[-1] < expected.largest):
        verdict = Verdict.NOT_ENOUGH_DATA
        evidence += " Fixed costs still hide the order: larger n are needed."
    return Claim(
        name,
        statement,
        verdict,
        evidence,
        correction,
        numbers={"exponent": power, "memory_exponent": memory, "n": mine.n[-1], "seconds": mine.seconds[-1]},
        interval=mine.interval(),
        runs=folders(mine.runs),
        chart=_chart(every),
    )


def newton_step_cost(groups: Sequence[Group]) -> Claim:
    """A dense Newton step takes O(n^3) seconds."""
    correction = (
        "O(n^3) is the cost of factorising the Hessian [n, n], on top of n products to form it; the direction needs a "
        "linear solve, no inverse. The Hessian's n^2 numbers live within a step and are not among the bytes kept."
    )
    return _step_cost(groups, _NEWTON, correction)


def bfgs_step_cost(groups: Sequence[Group]) -> Claim:
    """A BFGS step takes O(n^2) seconds and bytes."""
    return _step_cost(groups, _BFGS, "")


def lbfgs_step_cost(groups: Sequence[Group]) -> Claim:
    """An L-BFGS step takes O(m n) seconds and bytes, m the pairs kept."""
    return _step_cost(groups, _LBFGS, "O(m n) with m pairs kept: linear in n at a fixed m.")


def _duration(seconds: float) -> str:
    """`12 s`, `3.1 hours`, `57 days`."""
    for unit, length in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.3g} s"


def _size(count: float) -> str:
    """`20.6 kB`, `2.08 GB`: powers of a thousand."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count:.0f} bytes"


_LARGE = (1e5, 1e6)
_HOUR = 3600.0


def newton_impractical(groups: Sequence[Group]) -> Claim:
    """Extrapolated to n = 1e5, a dense Newton step takes over an hour."""
    name = "newton_impractical"
    statement = "Newton's method is impractical for hundreds of thousands to millions of parameters."
    correction = "That holds for a dense Hessian; Newton-CG needs Hessian-vector products alone, and O(n) memory."
    found = scalings(groups, "newton")
    if not found or found[0].top.sum() < _SIZES or found[0].n[-1] < _NEWTON.largest:
        largest = found[0].n[-1] if found else 0
        what = (
            f"To extrapolate takes {_SIZES} sizes within a decade, the largest n = {_NEWTON.largest:,.0f} or above; "
            f"the largest here is {largest:,.0f}."
        )
        return lacking(name, statement, what, correction=correction, runs=found[0].runs if found else ())
    mine = found[0]
    power = mine.exponent(mine.seconds)
    seconds = [float(mine.seconds[-1] * (n / mine.n[-1]) ** power) for n in _LARGE]
    item = 4 if mine.runs[0].manifest.get("dtype") == "float32" else 8
    size = [item * n**2 for n in _LARGE]
    evidence = (
        f"Measured up to n = {mine.n[-1]:,.0f}, where a step took {mine.seconds[-1]:.3g} s. Extrapolated as "
        f"n^{power:.2f}, it would take {_duration(seconds[0])} at n = 100,000 and {_duration(seconds[1])} at "
        f"n = 1,000,000; the Hessian alone, n^2 numbers of {item} bytes, would take {size[0] / 2**30:.3g} and "
        f"{size[1] / 2**30:,.0f} GiB."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if seconds[0] > _HOUR else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"seconds_1e5": seconds[0], "seconds_1e6": seconds[1], "bytes_1e5": size[0], "bytes_1e6": size[1]},
        runs=folders(mine.runs),
        chart=_chart(scalings(groups, *_SCALED)),
    )
