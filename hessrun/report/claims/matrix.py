"""What BFGS's matrix is, from the rows of `optimizer.diagnose=true`: symmetric, definite, secant, near the Hessian."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from hessrun.record import Run
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import (
    NEAR,
    entries_named,
    folders,
    interval_over,
    is_near_minimum,
    known,
    lacking,
    precision,
)
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.words import plural

_ROUNDING = 1e4  # times the machine epsilon
_FALLS = 0.5
_ROWS = 6
_RUNS = 3
_CLOSE = 0.1


def _diagnosed(groups: Sequence[Group], name: str, *others: str) -> list[tuple[Entry, Run, tuple[Array, ...]]]:
    """BFGS's runs that hold the column, with it and its steps."""
    found = [
        (entry, run, known(run, "step", name, *others))
        for _, entry in entries_named(groups, "bfgs")
        for run in entry.compared
    ]
    return [(entry, run, values) for entry, run, values in found if values[1].size]


def _lack(name: str, statement: str, column: str, correction: str) -> Claim:
    what = f"0 runs of BFGS hold the column {column}: set optimizer.diagnose=true."
    return lacking(name, statement, what, correction=correction)


def _residual(groups: Sequence[Group], name: str, statement: str, column: str, words: str, correction: str) -> Claim:
    """A residual that should be of the size of rounding, in the median of each run."""
    found = _diagnosed(groups, column)
    if not found:
        return _lack(name, statement, column, correction)
    medians = [float(np.median(values[1])) for _, _, values in found]
    units = [median / precision(run) for median, (_, run, _) in zip(medians, found, strict=True)]
    worst = max(float(values[1].max()) for _, _, values in found)
    rows = sum(values[1].size for _, _, values in found)
    evidence = (
        f"Over {plural(rows, 'row')} of {plural(len(found), 'run')} {words} is {float(np.median(medians)):.2g} in "
        f"the median and {worst:.2g} at most; rounding allows {_ROUNDING:.0e} times the machine epsilon."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if max(units) <= _ROUNDING else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"median": float(np.median(medians)), "greatest": worst, "rows": rows},
        interval=interval_over([run for _, run, _ in found], medians),
        runs=folders([run for _, run, _ in found]),
        chart=_course(name, found, words),
    )


def _course(name: str, found: Sequence[tuple[Entry, Run, tuple[Array, ...]]], words: str) -> Chart | None:
    """A column over the longest run of each entry; None where it is nowhere above 0, which a log axis takes."""
    series = []
    for label in dict.fromkeys(entry.label for entry, _, _ in found):
        longest = max((values for entry, _, values in found if entry.label == label), key=lambda values: values[0].size)
        positive = longest[1] > 0
        if positive.any():
            series.append(Series(label, label, longest[0][positive], longest[1][positive]))
    panel = Panel(tuple(series), "iteration", words.removeprefix("the "), y_scale="log")
    return Chart(name.replace("_", "-"), f"The longest run of each: {words}.", (panel,)) if series else None


def bfgs_symmetric(groups: Sequence[Group]) -> Claim:
    """|H - H'| / |H| is at rounding."""
    correction = "The update keeps the symmetry of its start exactly: nothing is penalised."
    statement = "BFGS's matrix is symmetric."
    return _residual(groups, "bfgs_symmetric", statement, "symmetry_error", "|H - H'| / |H|", correction)


def bfgs_secant(groups: Sequence[Group]) -> Claim:
    """|H y - s| / |s| is at rounding: the model's gradients match at the last two points."""
    correction = (
        "The model at x_i is m(p) = L + grad L'p + 1/2 p'B p, with p = theta - theta_i: B stands in the quadratic term "
        "alone, not times L, and the remainder is o(|p|^2), since B is no exact Hessian. That its gradient matches at "
        "p = 0 holds for any B; matching it at the point before as well is what gives the secant equation B s = y."
    )
    statement = "BFGS's model matches the gradients of the loss."
    return _residual(groups, "bfgs_secant", statement, "secant_residual", "|H y - s| / |s|", correction)


def bfgs_positive_definite(groups: Sequence[Group]) -> Claim:
    """The smallest eigenvalue of H is above 0 at every row."""
    name, statement = "bfgs_positive_definite", "BFGS's matrix is positive definite."
    correction = (
        "It stays so exactly if s'y > 0, which a Wolfe line search ensures, not by minimising a norm: the weighting "
        "matrix W makes the update scale invariant."
    )
    column = "smallest_matrix_eigenvalue"
    found = _diagnosed(groups, column)
    if not found:
        return _lack(name, statement, column, correction)
    rows = sum(values[1].size for _, _, values in found)
    bad = sum(int((values[1] <= 0).sum()) for _, _, values in found)
    least = min(float(values[1].min()) for _, _, values in found)
    evidence = (
        f"The smallest eigenvalue of H is above 0 in {rows - bad} of {plural(rows, 'row')} of "
        f"{plural(len(found), 'run')}, {least:.2g} at the least."
    )
    return Claim(
        name,
        statement,
        Verdict.CONTRADICTED if bad else Verdict.SUPPORTED,
        evidence,
        correction,
        numbers={"least": least, "rows": rows, "not_definite": bad},
        runs=folders([run for _, run, _ in found]),
        chart=_course(name, found, "the smallest eigenvalue of H"),
    )


def _falling(
    groups: Sequence[Group],
    name: str,
    statement: str,
    column: str,
    words: str,
    correction: str,
    *,
    share: float,
    most: float,
) -> Claim:
    """A column whose median over the last third of a run is below that of its first third, in the median run.

    share: of the first third's, below which it falls; most: what it may be at the end. Fewer runs than three decide
    nothing.
    """
    every = [(entry, run, values) for entry, run, values in _diagnosed(groups, column) if values[1].size >= _ROWS]
    found = [(entry, run, values) for entry, run, values in every if is_near_minimum(run)]
    if len(found) < _RUNS:
        what = (
            f"{plural(len(every), 'run')} of BFGS {'holds' if len(every) == 1 else 'hold'} {_ROWS} rows of the column "
            f"{column} (optimizer.diagnose=true), and {len(found)} of them came near a minimum, to {NEAR:g} of the "
            f"first gradient norm: it takes {_RUNS}."
        )
        return lacking(name, statement, what, correction=correction)

    def third(values: Array, pick: Callable[[Array, int], Array]) -> float:
        return float(np.median(pick(values, values.size // 3)))

    starts = [third(values[1], lambda v, k: v[:k]) for _, _, values in found]
    ends = [third(values[1], lambda v, k: v[-k:]) for _, _, values in found]
    ratios = [end / start if start > 0 else math.inf for start, end in zip(starts, ends, strict=True)]
    ratio = float(np.median(ratios))
    evidence = (
        f"From the first to the last third of a run {words} went from {float(np.median(starts)):.2g} to "
        f"{float(np.median(ends)):.2g} (medians over {plural(len(found), 'run')}), by a factor of {ratio:.2g}."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if ratio < share and float(np.median(ends)) <= most else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"ratio": ratio, "start": float(np.median(starts)), "end": float(np.median(ends)), "runs": len(found)},
        interval=interval_over([run for _, run, _ in found], ratios),
        runs=folders([run for _, run, _ in found]),
        chart=_course(name, found, words),
    )


def bfgs_dennis_more(groups: Sequence[Group]) -> Claim:
    """|(A - B) p| / |B p| along the method's steps falls, as superlinear convergence takes (Dennis and Moré, 1974)."""
    statement = "BFGS's matrix approximates the Hessian, along its own steps."
    correction = (
        "BFGS's matrix need not converge to the Hessian: superlinear convergence asks that it acts like it along the "
        "steps alone (Dennis and Moré, 1974)."
    )
    name, column, words = "bfgs_dennis_more", "direction_error", "|(A - B) p| / |B p|"
    return _falling(groups, name, statement, column, words, correction, share=_FALLS, most=math.inf)


def bfgs_close(groups: Sequence[Group]) -> Claim:
    """|H_(k+1) - H_k|_F / |H_k|_F is a tenth or less over the last third of a run, and less than over the first."""
    statement = "BFGS's matrix stays close to its predecessor."
    correction = (
        "The update is the nearest matrix in a weighted norm, under symmetry and the secant equation; nothing bounds "
        "how near that is, and the weighted norm does not make it positive definite."
    )
    words = "the relative change of H in a step"
    return _falling(groups, "bfgs_close", statement, "matrix_change", words, correction, share=1.0, most=_CLOSE)
