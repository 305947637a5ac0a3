"""Two quasi-Newton methods beside each other: DFP and BFGS, L-BFGS and BFGS."""

import math
from collections.abc import Sequence

import numpy as np

from hessrun.record import Run
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.faster import open_words, typical_numbers, typical_ratio, typical_words, verdict_of
from hessrun.report.claims.records import folders, lacking
from hessrun.report.comparisons import Compared, compared, couples
from hessrun.report.groups import Group, column
from hessrun.report.numbers import last
from hessrun.report.statistics import SEEDS_FOR_CLAIMS
from hessrun.report.words import plural

_MEASURES = {
    "time_to_target": "time to the target",
    "iterations": "iterations to the target",
    "time_per_step": "time per iteration",
    "memory": "memory",
}


def dfp_versus_bfgs(groups: Sequence[Group]) -> Claim:
    """BFGS reaches the target in fewer iterations than DFP."""
    name, statement = "dfp_versus_bfgs", "BFGS needs fewer iterations than DFP."
    correction = (
        "DFP is the matrix B nearest to its predecessor in a weighted Frobenius norm under symmetry and the secant "
        "equation; BFGS is the same for the inverse, H = B^-1 (Nocedal and Wright, 2006, sections 6.1 and 6.2). Both "
        "stay positive definite where s'y > 0; the weighting serves scale invariance."
    )
    found = compared(couples(groups, "bfgs", "dfp"), "step")
    decisive = [c for c in found if c.found.pairs >= SEEDS_FOR_CLAIMS]
    if not decisive:
        most = max((c.found.pairs for c in found), default=0)
        what = f"It takes {SEEDS_FOR_CLAIMS} distinct seeds of BFGS and DFP on one problem; these runs hold {most}."
        return lacking(name, statement, what, correction=correction, runs=[run for c in found for run in c.runs])
    faster, slower = sum(c.is_faster for c in decisive), sum(c.is_slower for c in decisive)
    typical, interval = typical_ratio(decisive)
    evidence = (
        f"On {plural(len(decisive), 'problem')} BFGS reached the target in "
        f"significantly fewer iterations than DFP on {faster} and in more on {slower} (sign test over seeds, Holm's "
        f"correction, 5%); the median cost is "
        f"{typical_words(typical, 'that of DFP')}.{open_words(decisive)}"
    )
    return Claim(
        name,
        statement,
        verdict_of(decisive),
        evidence,
        correction,
        numbers={**typical_numbers(typical), "problems": len(decisive), "faster": faster, "slower": slower},
        interval=interval if len(decisive) > 1 else decisive[0].found.interval,
        runs=folders([run for c in decisive for run in c.runs]),
        chart=_chart({"iterations": found}, "BFGS", "DFP"),
    )


def seconds_per_step(run: Run, _: Group) -> float:
    """Optimizer seconds an iteration; nan where none was made."""
    steps = last(run, "step")
    return last(run, "seconds") / steps if steps > 0 else math.nan


def _bytes(run: Run, _: Group) -> float:
    known = column(run, "state_bytes")
    return float(np.nanmax(known)) if np.isfinite(known).any() else math.nan


def _ratio_words(value: float) -> str:
    return "infinitely many times" if math.isinf(value) else f"{value:.3g} times"


def _chart(measured: dict[str, list[Compared]], mine: str, other: str) -> Chart | None:
    """Ratios of what two methods took against n; None where no ratio is known, finite and above 0."""
    series = []
    for key, found in measured.items():
        kept = [c for c in found if math.isfinite(c.found.ratio) and c.found.ratio > 0]
        if not kept:
            continue
        ends = [c.found.interval or (c.found.ratio, c.found.ratio) for c in kept]
        x, y = (
            np.array(values, dtype=float)
            for values in ([c.group.n_parameters for c in kept], [c.found.ratio for c in kept])
        )
        low, high = np.array(ends).T
        hover = tuple(c.group.title for c in kept)
        series.append(Series(_MEASURES[key], "", x, y, low, high, drawn="points", hover=hover))
    if not series:
        return None
    panel = Panel(tuple(series), "parameters n", f"{mine} / {other}", x_scale="log", y_scale="log")
    caption = (
        f"{mine} beside {other}: ratios paired by seed, median and 95% bootstrap interval; below 1 {mine} takes less."
    )
    return Chart(f"{mine}-over-{other}".lower().replace("l-bfgs", "lbfgs"), caption, (panel,))


def lbfgs_over_bfgs(groups: Sequence[Group]) -> Claim:
    """L-BFGS takes less memory than BFGS and reaches the target sooner by the clock."""
    name, statement = "lbfgs_over_bfgs", "L-BFGS outperforms BFGS."
    correction = (
        "The write-up breaks off before it says in what: in memory, O(m n) against O(n^2), and in the cost of a step; "
        "not in the rate of convergence, which is linear for L-BFGS and superlinear for BFGS."
    )
    both = couples(groups, "lbfgs", "bfgs")
    measured = {
        "time_per_step": compared(both, "seconds", seconds_per_step),
        "memory": compared(both, "state_bytes", _bytes),
        "iterations": compared(both, "step"),
        "time_to_target": compared(both, "seconds"),
    }
    found = measured["time_to_target"]
    decisive = [c for c in found if c.found.pairs >= SEEDS_FOR_CLAIMS]
    if not found:
        return lacking(name, statement, "0 problems hold runs of both L-BFGS and BFGS.", correction=correction)
    chosen = max(found, key=lambda c: (c.found.pairs >= SEEDS_FOR_CLAIMS, c.group.n_parameters))
    largest = chosen.group
    numbers: dict[str, float] = {}
    parts = []
    for key, words in _MEASURES.items():
        here = [c.found for c in measured[key] if c.group is largest]
        if here and not math.isnan(here[0].ratio):
            numbers[key] = here[0].ratio
            numbers |= dict(zip((f"{key}_low", f"{key}_high"), here[0].interval or (), strict=False))
            parts.append(f"{_ratio_words(here[0].ratio)} the {words}")
    faster, slower = sum(c.is_faster for c in decisive), sum(c.is_slower for c in decisive)
    evidence = f"At n = {largest.n_parameters:,} ({largest.title}) L-BFGS took {', '.join(parts)} of BFGS. "
    evidence += (
        f"By the clock it reached the target significantly sooner on {faster} and later on {slower} of "
        f"{plural(len(decisive), 'problem')} with {SEEDS_FOR_CLAIMS} distinct seeds or more."
    )
    evidence += open_words(decisive)
    numbers |= {"n": largest.n_parameters, "problems": len(found), "tested": len(decisive)}
    numbers |= {"faster": faster, "slower": slower}
    return Claim(
        name,
        statement,
        verdict_of(decisive) if decisive else Verdict.NOT_ENOUGH_DATA,
        evidence,
        correction,
        numbers=numbers,
        interval=chosen.found.interval,
        runs=folders([run for c in found for run in c.runs]),
        chart=_chart(measured, "L-BFGS", "BFGS"),
    )
