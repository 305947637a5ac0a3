"""Whether Hessian methods reach the target sooner than the cheapest first-order one, by iteration, pass and clock."""

import math
from collections.abc import Sequence

from hessrun.report.charts import HEADLINE
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import folders, lacking
from hessrun.report.comparisons import Compared, beside_cheapest
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES
from hessrun.report.statistics import SEEDS_FOR_CLAIMS, median_between
from hessrun.report.words import plural

_HOW = {"step": "iteration", "passes": "pass over the data", "seconds": "the clock"}


def verdict_of(found: Sequence[Compared]) -> Verdict:
    """Supported where more than half are significantly faster, contradicted where half or more are slower.

    Between the two it is undecided: the comparisons that are neither could tip it.
    """
    if 2 * sum(c.is_faster for c in found) > len(found):
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if 2 * sum(c.is_slower for c in found) >= len(found) else Verdict.NOT_ENOUGH_DATA


def typical_ratio(found: Sequence[Compared]) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Between what the median over comparisons of their median ratios lies, and its interval over comparisons.

    Comparisons with runs whose budgets ended too early leave it open.
    """
    return median_between([c.found.low for c in found], [c.found.high for c in found])


def typical_words(between: tuple[float, float], unit: str) -> str:
    """`0.5 times {unit}`, `between 0.4 and 0.5 times {unit}`, or what stands in its place where there is no number."""
    low, high = between
    if low == high:
        return f"{low:.3g} times {unit}" if math.isfinite(low) else "unbounded: most miss the target"
    if low == 0 and math.isinf(high):
        return "not known: the budgets of too many runs ended early"
    if low == 0 or math.isinf(high):
        return f"{f'at most {high:.3g}' if low == 0 else f'at least {low:.3g}'} times {unit}"
    if f"{low:.3g}" == f"{high:.3g}":
        return f"{low:.3g} times {unit}"
    return f"between {low:.3g} and {high:.3g} times {unit}"


def typical_numbers(between: tuple[float, float]) -> dict[str, float]:
    """The median ratio as claims.json has it: `ratio` where it is known, and the bounds."""
    low, high = between
    return {"ratio": low if low == high else math.nan, "ratio_low": low, "ratio_high": high}


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
    every = [c for group in groups for c in beside_cheapest(group, axis)]
    found = [c for c in every if c.found.pairs >= SEEDS_FOR_CLAIMS]
    if not found:
        most = max((c.found.pairs for c in every), default=0)
        what = (
            f"A claim takes {SEEDS_FOR_CLAIMS} distinct seeds of a Hessian method and of a first-order one on one "
            f"problem; these runs hold {most}."
        )
        return lacking(name, statement, what, correction=correction, runs=[run for c in every for run in c.runs])
    problems = {c.group.title for c in found}
    won = {c.group.title for c in found if c.is_faster}
    faster, slower = sum(c.is_faster for c in found), sum(c.is_slower for c in found)
    typical, interval = typical_ratio(found)
    evidence = (
        f"Of {plural(len(found), 'comparison')} from {SEEDS_FOR_CLAIMS} seeds or more with the first-order method that "
        f"took the fewest {AXES[axis]}, on {plural(len(problems), 'problem')}, a Hessian method reached the target in "
        f"significantly fewer in {faster} and in more in {slower} (sign test over seeds, Holm's correction within each "
        f"problem, 5%); at least one did so on {len(won)} of {len(problems)}. The median cost is "
        f"{typical_words(typical, 'that of the first-order method')}.{_batches(found, axis)}{open_words(found)}"
    )
    return Claim(
        name,
        statement,
        verdict_of(found),
        evidence,
        correction,
        numbers={
            **typical_numbers(typical),
            "comparisons": len(found),
            "faster": faster,
            "slower": slower,
            "undecided_pairs": sum(c.found.undecided for c in found),
            "problems": len(problems),
            "problems_with_a_faster_one": len(won),
        },
        interval=interval,
        runs=folders([run for c in found for run in c.runs]),
        shown_in=HEADLINE,
    )


def _batches(found: Sequence[Compared], axis: str) -> str:
    """A sentence where an iteration of one side sees less of the data than one of the other; empty where none does."""
    if axis != "step":
        return ""
    problems = {c.group.title for c in found if _takes_batches(c.other) != _takes_batches(c.mine)}
    if not problems:
        return ""
    return (
        f" On {plural(len(problems), 'problem')} an iteration on a minibatch stands beside one on all examples: there "
        "passes compare like with like."
    )


def _takes_batches(entry: Entry) -> bool:
    return any((run.config.get("optimizer") or {}).get("batch_size") is not None for run in entry.runs)


def faster_by_iteration(groups: Sequence[Group]) -> Claim:
    """Fewer iterations to the target than the first-order method that takes the fewest."""
    return _faster(groups, "step", "faster_by_iteration")


def faster_by_pass(groups: Sequence[Group]) -> Claim:
    """Fewer passes over the data to the target."""
    return _faster(groups, "passes", "faster_by_pass")


def faster_by_clock(groups: Sequence[Group]) -> Claim:
    """Fewer optimizer seconds to the target."""
    return _faster(groups, "seconds", "faster_by_clock")
