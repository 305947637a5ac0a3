"""Negative curvature: where the Hessian is indefinite, how that changes over training, and what it says of minima."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from hessrun.record import Run, Spectrum
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import NEAR, folders, is_near_minimum, lacking
from hessrun.report.groups import Group, seed_of
from hessrun.report.statistics import SIGNIFICANCE, median_interval, sign_test
from hessrun.report.titles import short_titles
from hessrun.report.words import plural

_MOST = 0.75
_NO_SPECTRUM = "0 spectra of a whole Hessian are recorded."


def whole(run: Run) -> list[Spectrum]:
    """The run's spectra of the Hessian itself, over all parameters."""
    return [s for s in run.spectra if s.matrix == "hessian" and s.parameters == "*" and s.smallest.size]


def _probed(groups: Sequence[Group]) -> list[tuple[Group, Run, list[Spectrum]]]:
    runs = [(group, run, whole(run)) for group in groups for run in group.runs]
    return [(group, run, spectra) for group, run, spectra in runs if spectra]


def hessian_indefinite(groups: Sequence[Group]) -> Claim:
    """At the start, away from a minimum, the smallest eigenvalue lies below minus the noise floor."""
    name, statement = (
        "hessian_indefinite",
        "The Hessian of a training loss is not positive definite away from a minimum.",
    )
    correction = (
        "It may be indefinite there, and need not: that of a convex loss, such as softmax regression, has no negative "
        "eigenvalue anywhere."
    )
    probed = _probed([group for group in groups if group.n_examples > 1])
    if not probed:
        return lacking(
            name, statement, "0 spectra of a whole Hessian of a training loss are recorded.", correction=correction
        )
    by_problem: dict[str, list[bool]] = defaultdict(list)
    for group, _, spectra in probed:
        by_problem[group.title].append(spectra[0].is_indefinite)
    indefinite = sum(flag for flags in by_problem.values() for flag in flags)
    problems = [title for title, flags in by_problem.items() if 2 * sum(flags) > len(flags)]
    evidence = (
        f"At the first probe an eigenvalue lay below minus the noise floor in {indefinite} of "
        f"{plural(len(probed), 'run')}, and in most runs on {len(problems)} of {plural(len(by_problem), 'problem')}."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if problems else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"indefinite": indefinite, "runs": len(probed), "problems": len(problems)},
        runs=folders([run for _, run, _ in probed]),
        chart=_share_chart(groups),
    )


def _shares(
    probed: Sequence[tuple[Group, Run, list[Spectrum]]],
) -> dict[tuple[str, str], list[tuple[Run, float, float]]]:
    """By problem and seed: each run's share of negative eigenvalues at its first and at its last exact spectrum."""
    found = defaultdict(list)
    for group, run, spectra in probed:
        exact = [s for s in spectra if s.negative >= 0]
        if len(exact) > 1 and exact[0].negative > 0:
            found[group.title, seed_of(run)].append((run, exact[0].negative_share, exact[-1].negative_share))
    return found


def _share_chart(groups: Sequence[Group]) -> Chart | None:
    panels, titles = [], short_titles(groups)
    for group in groups:
        series = []
        for entry in group.entries:
            spectra = [s for run in entry.runs for s in whole(run) if s.negative >= 0]
            steps = sorted({s.step for s in spectra})
            shares = [[100 * s.negative_share for s in spectra if s.step == step] for step in steps]
            if len(steps) > 1 and any(max(values) > 0 for values in shares):
                middle, low, high = (np.array([pick(v) for v in shares]) for pick in (np.median, min, max))
                series.append(Series(entry.label, entry.label, np.array(steps, dtype=float), middle, low, high, "both"))
        if series:
            panel = Panel(
                tuple(series),
                "iteration",
                "negative eigenvalues (%)",
                titles[group.title],
                x_scale="symlog",
                linthresh=1,
            )
            panels.append(panel)
    caption = "Share of eigenvalues below minus the noise floor: median, least and greatest over the runs probed there."
    return Chart("negative-share", caption, tuple(panels)) if panels else None


def negative_share_falls(groups: Sequence[Group]) -> Claim:
    """The share of negative eigenvalues is smaller at the end than at the start."""
    name, statement = "negative_share_falls", "The share of negative eigenvalues falls over training."
    shares = _shares(_probed(groups))
    if not shares:
        what = "0 runs hold two exact spectra of which the first has a negative eigenvalue."
        return lacking(name, statement, what)
    runs = [run for found in shares.values() for run, *_ in found]
    every = [end - start for found in shares.values() for _, start, end in found]
    # Optimizers at one seed share their start: their mean is one observation.
    ends = [tuple(np.mean([pair[1:] for pair in found], axis=0)) for found in shares.values()]
    changes = [float(end - start) for start, end in ends]
    fell, rose = sum(c < 0 for c in changes), sum(c > 0 for c in changes)
    p = sign_test(fell, rose)
    start, end = (100 * float(np.median([pair[i] for pair in ends])) for i in (0, 1))
    evidence = (
        f"From the first to the last exact spectrum the share fell in {sum(c < 0 for c in every)} of "
        f"{plural(len(every), 'run')}; in the mean over the optimizers it fell at {fell} and rose at {rose} of "
        f"{plural(len(changes), 'start')}, from {start:.3g}% to {end:.3g}% in the median (sign test p = {p:.2g})."
    )
    verdict = Verdict.NOT_ENOUGH_DATA
    if p <= SIGNIFICANCE and fell >= _MOST * len(changes):
        verdict = Verdict.SUPPORTED
    elif 2 * fell < len(changes) and sign_test(fell, len(changes) - fell) <= SIGNIFICANCE:
        verdict = Verdict.CONTRADICTED  # a share that stays as it was does not fall
    return Claim(
        name,
        statement,
        verdict,
        evidence,
        numbers={
            "change": float(np.median(changes)),
            "fell": fell,
            "rose": rose,
            "p": p,
            "start_percent": start,
            "end_percent": end,
        },
        interval=median_interval(changes) if len({seed for _, seed in shares}) > 1 else None,
        runs=folders(runs),
        chart=_share_chart(groups),
    )


def indefinite_no_minimum(groups: Sequence[Group]) -> Claim:
    """Runs that began where the Hessian is indefinite, and the curvature at the stationary points where they ended."""
    name, statement = (
        "indefinite_no_minimum",
        "If the Hessian is not positive definite, the surface may have no minimum.",
    )
    correction = (
        "The Hessian at one point says nothing of other points. At a stationary point a negative eigenvalue makes it a "
        "saddle (or a maximum), not a minimum; a singular positive semidefinite Hessian leaves it open. Elsewhere it "
        "says only that the plain Newton step need not descend."
    )
    begun = [(run, spectra) for _, run, spectra in _probed(groups) if spectra[0].is_indefinite and len(spectra) > 1]
    ended = [(run, spectra[-1]) for run, spectra in begun if is_near_minimum(run, spectra[-1].step)]
    if not ended:
        what = (
            f"{plural(len(begun), 'run')} began where the Hessian is indefinite, and 0 of them ended at a stationary "
            f"point (a gradient norm below {NEAR:g} of the first)."
        )
        return lacking(name, statement, what, correction=correction, runs=[run for run, _ in begun])
    minima = [run for run, spectrum in ended if not spectrum.is_indefinite]
    evidence = (
        f"Of {plural(len(ended), 'run')} that began where the Hessian is indefinite and ended at a stationary point, "
        f"{len(minima)} ended without a negative eigenvalue and {len(ended) - len(minima)} with one."
    )
    return Claim(
        name,
        statement,
        Verdict.CONTRADICTED if minima else Verdict.SUPPORTED,
        evidence,
        correction,
        numbers={"minima": len(minima), "saddles": len(ended) - len(minima)},
        runs=folders([run for run, _ in ended]),
        chart=_share_chart(groups),
    )


def condition_number_formula(groups: Sequence[Group]) -> Claim:
    """lambda_max / lambda_min is a condition number only where both have one sign."""
    name, statement = "condition_number_formula", "The condition number of the Hessian is lambda_max / lambda_min."
    correction = (
        "For a symmetric matrix it is max |lambda| / min |lambda|; lambda_max / lambda_min is that only where the "
        "matrix is positive definite. Eigenvalues within the noise floor are zero as far as can be told, and left out "
        "here."
    )
    of_losses = [group for group in groups if group.n_examples > 1]
    exact = [(run, s) for _, run, spectra in _probed(of_losses) for s in spectra if s.kind == "exact"]
    if not exact:
        return lacking(name, statement, "0 exact spectra of a training loss are recorded.", correction=correction)
    quotients = [float(s.largest[0] / s.smallest[0]) for _, s in exact if s.is_indefinite and s.largest[0] > 0]
    lowest = f" (down to {min(quotients):.3g})" if quotients else ""
    evidence = (
        f"In {len(quotients)} of {plural(len(exact), 'exact spectrum', 'exact spectra')} of training losses "
        f"lambda_max / lambda_min is negative{lowest}, which no condition number is."
    )
    return Claim(
        name,
        statement,
        Verdict.CONTRADICTED if quotients else Verdict.SUPPORTED,
        evidence,
        correction,
        numbers={"negative": len(quotients), "spectra": len(exact)},
        runs=folders([run for run, _ in exact]),
        chart=_share_chart(groups),
    )
