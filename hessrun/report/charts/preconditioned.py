"""The largest eigenvalue of the Hessian as a quasi-Newton matrix sees it, against what full steps bear."""

import math

import numpy as np

from hessrun.record import Spectrum
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.figures import step_scale
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import largest
from hessrun.report.spectra_figures import probed

_LIMIT = 2.0


def preconditioned_sharpness(group: Group, name: str) -> Chart | None:
    """lambda_max(B^-1 H) of quasi-Newton methods, and lr lambda_max(H) of gradient descent; the first seed.

    2 is where a step with B, or lr, stops to lower a quadratic. None unless a quasi-Newton method was probed for it.
    """
    seen = [(entry, _points(entry)) for entry in group.entries]
    if not any(s.preconditioned_largest.size for entry, _ in seen for s in probed(entry)):
        return None
    lines = [
        Series(entry.label, entry.label, np.array(steps), np.array(values), drawn="both")
        for entry, points in seen
        if points
        for steps, values in [zip(*points, strict=True)]
    ]
    drawn = np.concatenate([line.y for line in lines])
    steps = [int(step) for line in lines for step in line.x]
    bounds = np.array([min(steps), max(steps)], dtype=float)
    limit = Series("2", "", bounds, np.full(2, _LIMIT), dash="dotted")
    wide = drawn.min() > 0 and drawn.max() > 8 * min(drawn.min(), _LIMIT)
    panel = Panel(
        (*lines, limit),
        "iterations",
        "largest eigenvalue of B⁻¹H",
        x_scale=step_scale(steps),
        y_scale="log" if wide else "linear",
    )
    caption = (
        f"{group.title}: preconditioned sharpness over training, first seed: the largest eigenvalue of B⁻¹H, with B "
        "the matrix of the quasi-Newton method (1/lr for gradient descent). Above 2 (dotted) a full step no longer "
        "lowers a quadratic along that eigenvector."
    )
    return Chart(name, caption, (panel,))


def _points(entry: Entry) -> list[tuple[float, float]]:
    values = [(float(s.step), _sharpness(s)) for s in probed(entry)]
    return [(step, value) for step, value in values if math.isfinite(value)]


def _sharpness(spectrum: Spectrum) -> float:
    if spectrum.preconditioned_largest.size:
        return float(spectrum.preconditioned_largest[0])
    return _LIMIT * largest(spectrum) / spectrum.stability_limit if spectrum.stability_limit > 0 else math.nan
