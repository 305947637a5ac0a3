"""What a high condition number does: on problems that differ in nothing else."""

import math
from collections.abc import Sequence

import numpy as np

from hessrun.record import Run
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.condition_series import (
    KAPPAS,
    Conditioned,
    conditioned,
    growth_interval,
    growth_of,
    series_of,
)
from hessrun.report.claims.records import folders, known, lacking, power
from hessrun.report.groups import Group, end_word
from hessrun.report.numbers import spread
from hessrun.report.words import plural

_GROWS = 0.5
_FLAT = 0.1
_OSCILLATES = 0.1
_SHARED_TOLERANCE = 1e-5  # of the first gradient norm: above the 1e-6 at which runs may be set to stop
_SECOND_ORDER = ("newton", "newton_trust", "newton_cg", "gauss_newton", "bfgs", "dfp", "broyden", "lbfgs")
_FAILED = ("diverged", "failed", "line_search_failed", "stalled")


def _chart(groups: Sequence[Group], tolerance: float) -> Chart | None:
    series = []
    for one in conditioned(groups, "gd", "sgd", *_SECOND_ORDER):
        iterations = one.iterations(tolerance)
        usable = np.isfinite(iterations) & (iterations > 0)
        if usable.any():
            series.append(Series(one.name, one.entries[-1].label, one.kappa[usable], iterations[usable], drawn="both"))
    if not series:
        return None
    panel = Panel(tuple(series), "condition number", "iterations to tolerance", x_scale="log", y_scale="log")
    caption = (
        f"Iterations until the gradient norm is {tolerance:g} of its first value, median over seeds; misses left out."
    )
    return Chart("condition-number", caption, (panel,))


def _by_condition(
    groups: Sequence[Group], name: str, statement: str, of: str, *, grows: bool, correction: str
) -> Claim:
    words = {"gd": "Gradient descent", "newton": "Newton's method"}[of]
    found = next(iter(conditioned(groups, of)), None)
    growth = None if found is None else growth_of(found)
    if found is not None and growth is not None and growth.is_bound and growth.exponent < (_GROWS if grows else _FLAT):
        what = (
            f"{words} needed iterations that grow at least as kappa^{power(growth.exponent)}; at "
            f"{plural(int(np.isinf(growth.iterations).sum()), 'condition number')} the budget ended first, so that "
            "the growth itself is not known."
        )
        return lacking(name, statement, what, correction=correction, runs=found.runs)
    if found is None or growth is None:
        kappas = 0 if found is None else found.kappa.size
        what = (
            f"{words} ran at {plural(kappas, 'condition number')} of one problem, and reached no common tolerance at "
            f"enough of them: it takes {KAPPAS} with iterations to count."
        )
        return lacking(name, statement, what, correction=correction, runs=[] if found is None else found.runs)
    each = ", ".join(
        f"{'a miss' if math.isinf(count) else f'{count:,.0f}'} at {kappa:,.0f}"
        for kappa, count in zip(found.kappa, growth.iterations, strict=True)
    )
    bound = "at least as " if growth.is_bound else "as "
    evidence = (
        f"{words} needed iterations to {growth.tolerance:g} of the first gradient norm that grow {bound}"
        f"kappa^{power(growth.exponent)}: {each}."
    )
    holds = growth.exponent >= _GROWS if grows else abs(growth.exponent) <= _FLAT and not growth.is_bound
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if holds else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={
            "exponent": growth.exponent,
            "tolerance": growth.tolerance,
            "missed": int(np.isinf(growth.iterations).sum()),
        },
        interval=growth_interval(found, growth.tolerance),
        runs=folders(found.runs),
        chart=_chart(groups, growth.tolerance),
    )


def condition_gradient_descent(groups: Sequence[Group]) -> Claim:
    """Gradient descent's iterations grow with the condition number."""
    statement = "A high condition number makes gradient descent slow."
    correction = "On a quadratic its iterations grow in proportion to kappa, at the best constant learning rate."
    return _by_condition(groups, "condition_gradient_descent", statement, "gd", grows=True, correction=correction)


def condition_newton(groups: Sequence[Group]) -> Claim:
    """Newton's iterations do not grow with the condition number."""
    statement = "Newton's iterations do not depend on the condition number."
    correction = "Newton's method is affine invariant: kappa enters through rounding in the linear solve alone."
    return _by_condition(groups, "condition_newton", statement, "newton", grows=False, correction=correction)


def reversals(run: Run) -> float:
    """The share of steps that turn back, (x_(k+1) - x_k)'(x_k - x_(k-1)) < 0; nan without three consecutive points."""
    paths = {int(p.stem): p for p in sorted((run.path / "points").glob("*.npz")) if p.stem.isdecimal()}
    middles = [k for k in paths if k - 1 in paths and k + 1 in paths]
    if not middles:
        return math.nan
    wanted = {k + d for k in middles for d in (-1, 0, 1)}
    try:
        points = {}
        for k in wanted:
            with np.load(paths[k], allow_pickle=False) as data:
                points[k] = data["x"]
    except (OSError, ValueError, KeyError):
        return math.nan
    back = [float((points[k + 1] - points[k]) @ (points[k] - points[k - 1])) < 0 for k in middles]
    return sum(back) / len(back)


def _reversals_chart(found: Conditioned, shares: Sequence[float]) -> Chart:
    percent = 100 * np.array(shares)
    series = Series(found.name, found.entries[-1].label, found.kappa, percent, drawn="both")
    panel = Panel((series,), "condition number", "steps that turn back (%)", x_scale="log")
    caption = "Share of gradient descent's steps that turn back on the one before, median over seeds."
    return Chart("condition-oscillation", caption, (panel,))


def condition_oscillation(groups: Sequence[Group]) -> Claim:
    """At the highest condition number a share of gradient descent's steps turn back on the one before."""
    name, statement = "condition_oscillation", "At a high condition number gradient steps can oscillate."
    correction = (
        "They oscillate along the eigenvectors of the largest eigenvalues where the learning rate is above 1 / "
        "lambda_max, and diverge above 2 / lambda_max; below, a high condition number makes them slow instead."
    )
    every = series_of(groups, "gd")
    known_shares = [
        (one, [spread([reversals(run) for run in e.compared]).median for e in one.entries]) for one in every
    ]
    found, shares = next((pair for pair in known_shares if np.isfinite(pair[1]).all()), (None, []))
    if found is None:
        what = (
            "0 series of gradient descent over two or more condition numbers hold points of three consecutive steps "
            "each: they need a probe at every step."
        )
        return lacking(name, statement, what, correction=correction, runs=[run for one in every for run in one.runs])
    each = ", ".join(f"{100 * share:.3g}% at {kappa:,.0f}" for share, kappa in zip(shares, found.kappa, strict=True))
    evidence = f"Share of steps that turn back on the one before, by condition number: {each}."
    if min(shares) > _OSCILLATES:
        evidence += " They do so at each of them: the learning rate makes them, not the condition number."
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if shares[-1] > _OSCILLATES else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"share": shares[-1], "share_at_lowest": shares[0]},
        runs=folders(found.runs),
        chart=_reversals_chart(found, shares),
    )


def condition_second_order(groups: Sequence[Group]) -> Claim:
    """At the highest condition number more second-order runs fail than at the lowest."""
    name, statement = "condition_second_order", "A high condition number makes second-order methods unstable."
    correction = (
        "What suffers is the accuracy of the linear solve (about kappa times the machine epsilon) and the number of CG "
        "iterations, at most about sqrt(kappa) each digit; methods with a safeguarded step do not diverge for that."
    )
    found = [one for one in conditioned(groups, *_SECOND_ORDER) if one.kappa.size >= KAPPAS]
    if not found:
        what = f"0 second-order methods ran at {KAPPAS} or more condition numbers of one problem."
        return lacking(name, statement, what, correction=correction)
    runs = [[run for one in found for run in one.entries[end].runs] for end in (0, -1)]
    failed = [sum(end_word(run) in _FAILED for run in ends) for ends in runs]
    evidence = (
        f"From the lowest condition number ({found[0].kappa[0]:,.0f}) to the highest ({found[0].kappa[-1]:,.0f}) the "
        f"runs of {plural(len(found), 'second-order method')} that diverged, stalled or found no step went from "
        f"{failed[0]} of {len(runs[0])} to {failed[1]} of {len(runs[1])}."
    )
    cg = next((one for one in found if one.name == "newton_cg"), None)
    if cg is not None:
        counts = [
            spread(
                [float(np.mean(c)) for run in cg.entries[end].runs if (c := known(run, "cg_iterations")[0]).size]
            ).median
            for end in (0, -1)
        ]
        if np.isfinite(counts).all():
            low, high = counts
            evidence += f" A step of Newton-CG took {low:.3g} CG iterations at the lowest, {high:.3g} at the highest."
    shares = [failed[i] / len(runs[i]) for i in (0, 1)]
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if shares[1] > shares[0] else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"failed_share": shares[1], "failed_share_at_lowest": shares[0]},
        runs=folders([run for one in found for run in one.runs]),
        chart=_chart(groups, _SHARED_TOLERANCE),
    )


def condition_slow(groups: Sequence[Group]) -> Claim:
    """At least half of the methods need twice the iterations at the highest condition number, or miss the tolerance."""
    name, statement = "condition_slow", "A high condition number slows convergence and may prevent it."
    correction = (
        "It slows methods that are not affine invariant. In exact arithmetic it prevents none of them from converging: "
        "within a budget of iterations or the precision of the numbers it can."
    )
    names = dict.fromkeys(entry.name for group in groups for entry in group.entries)
    tolerance = _SHARED_TOLERANCE
    found = [one for one in conditioned(groups, *names) if one.kappa.size >= KAPPAS]
    ends = [(one, *one.iterations(tolerance)[[0, -1]]) for one in found]
    known_ends = [(one, low, high) for one, low, high in ends if math.isfinite(low)]
    if len(known_ends) < 2:
        what = (
            f"{plural(len(known_ends), 'method')} reached {tolerance:g} of the first gradient norm at the lowest of "
            f"{KAPPAS} or more condition numbers of one problem."
        )
        return lacking(name, statement, what, correction=correction)
    slowed = [one.name for one, low, high in known_ends if high >= 2 * max(low, 1)]
    missed = [one.name for one, _, high in known_ends if math.isinf(high)]
    evidence = (
        f"From the lowest to the highest condition number {len(slowed)} of {plural(len(known_ends), 'method')} "
        f"needed at least twice the iterations to {tolerance:g} of the first gradient norm, {len(missed)} of which "
        "missed it within the budget."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if 2 * len(slowed) >= len(known_ends) else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"slowed": len(slowed), "missed": len(missed), "methods": len(known_ends)},
        runs=folders([run for one, *_ in known_ends for run in one.runs]),
        chart=_chart(groups, tolerance),
    )
