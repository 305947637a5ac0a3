"""Whether Hessian methods reach the target sooner than the first-order baseline, by iteration, pass and clock."""

import math
from collections.abc import Sequence

from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import folders, lacking
from hessrun.report.comparisons import Compared, beside_baseline
from hessrun.report.groups import Group
from hessrun.report.numbers import AXES
from hessrun.report.statistics import SEEDS_FOR_CLAIMS, median_with_unknown
from hessrun.report.words import plural

_HOW = {"step": "iteration", "passes": "pass over the data", "seconds": "the clock"}


def verdict_of(found: Sequence[Compared]) -> Verdict:
    """Supported where more than half are significantly faster, contradicted where half or more are slower.

    Between the two it is undecided: the comparisons that are neither could tip it.
    """
    if 2 * sum(c.is_faster for c in found) > len(found):
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if 2 * sum(c.is_slower for c in found) >= len(found) else Verdict.NOT_ENOUGH_DATA


def typical_ratio(found: Sequence[Compared]) -> tuple[float, tuple[float, float] | None]:
    """The median over comparisons of their median ratios, with its bootstrap interval over comparisons.

    nan where comparisons whose budgets ended too early leave it open.
    """
    known = [c.found.ratio for c in found if not math.isnan(c.found.ratio)]
    return median_with_unknown(known, len(found) - len(known))


def typical_words(ratio: float, unit: str) -> str:
    """`0.5 times {unit}`, or what stands in its place where there is no such number."""
    if math.isnan(ratio):
        return "not known: the budgets of too many runs ended early"
    return f"{ratio:.3g} times {unit}" if math.isfinite(ratio) else "unbounded: most miss the target"


def open_words(found: Sequence[Compared]) -> str:
    """A sentence on the pairs that decide nothing, with a space before it; empty without such pairs."""
    cut, pairs = sum(c.found.undecided for c in found), sum(c.found.pairs for c in found)
    if not cut:
        return ""
    return (
        f" In {cut} of {pairs} pairs of runs one was cut short by its budget before it had spent what the other took: "
        "the tests count these against either side."
    )


def _faster(groups: Sequence[Group], axis: str, name: str) -> Claim:
    statement = f"Hessian methods train faster than first-order ones, by {_HOW[axis]}."
    correction = (
        "A local rate of convergence says nothing of the cost of a step or of the way to a minimum: whether a method "
        "is faster depends on what is counted."
    )
    every = [c for group in groups for c in beside_baseline(group, axis)]
    found = [c for c in every if c.found.pairs >= SEEDS_FOR_CLAIMS]
    if not found:
        most = max((c.found.pairs for c in every), default=0)
        what = (
            f"A claim takes {SEEDS_FOR_CLAIMS} distinct seeds of a Hessian method and of a first-order baseline on one "
            f"problem; these runs hold {most}."
        )
        return lacking(name, statement, what, correction=correction, runs=[run for c in every for run in c.runs])
    problems = {c.group.title for c in found}
    won = {c.group.title for c in found if c.is_faster}
    faster, slower = sum(c.is_faster for c in found), sum(c.is_slower for c in found)
    typical, interval = typical_ratio(found)
    evidence = (
        f"Of {len(found)} comparisons with the first-order baseline on "
        f"{plural(len(problems), 'problem')}, a Hessian method reached the target in significantly "
        f"fewer {AXES[axis]} in {faster} and in more in {slower} (sign test over seeds, Holm's correction within each "
        f"problem, 5%); at least one did so on {len(won)} of {len(problems)}. The median cost is "
        f"{typical_words(typical, 'that of the baseline')}.{open_words(found)}"
    )
    return Claim(
        name,
        statement,
        verdict_of(found),
        evidence,
        correction,
        numbers={
            "ratio": typical,
            "comparisons": len(found),
            "faster": faster,
            "slower": slower,
            "undecided_pairs": sum(c.found.undecided for c in found),
            "problems": len(problems),
            "problems_with_a_faster_one": len(won),
        },
        interval=interval,
        runs=folders([run for c in found for run in c.runs]),
    )


def faster_by_iteration(groups: Sequence[Group]) -> Claim:
    """Fewer iterations to the target than the first-order baseline."""
    return _faster(groups, "step", "faster_by_iteration")


def faster_by_pass(groups: Sequence[Group]) -> Claim:
    """Fewer passes over the data to the target."""
    return _faster(groups, "passes", "faster_by_pass")


def faster_by_clock(groups: Sequence[Group]) -> Claim:
    """Fewer optimizer seconds to the target."""
    return _faster(groups, "seconds", "faster_by_clock")
