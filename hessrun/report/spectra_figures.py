"""The recorded spectra over a run as charts: trajectories of the extreme eigenvalues, and sharpness."""

import math

import numpy as np

from hessrun.record import Spectrum
from hessrun.report.chart import Chart, Dash, Panel, Series
from hessrun.report.decades import Decades
from hessrun.report.drawable import drawable
from hessrun.report.figures import step_scale
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import largest

_ENDS = 5  # trajectories drawn at each end


def spectra_charts(group: Group, prefix: str) -> list[Chart]:
    """The charts that the recorded spectra of the group have data for; `prefix` heads their names."""
    found = [_trajectories(group, f"{prefix}-eigenvalues"), _sharpness(group, f"{prefix}-sharpness")]
    return [chart for chart in found if chart is not None]


def probed(entry: Entry) -> list[Spectrum]:
    """The spectra of the first run, in the order of their steps."""
    return sorted(entry.runs[0].spectra, key=lambda s: s.step)


def _trajectories(group: Group, name: str) -> Chart | None:
    """The five largest and the five smallest eigenvalues over the steps, a panel for each optimizer."""
    seen = [(entry, s) for entry in group.entries if len(s := [s for s in probed(entry) if s.kind != "density"]) > 1]
    if not seen:
        return None
    every = drawable(np.concatenate([v[:_ENDS] for _, found in seen for s in found for v in (s.largest, s.smallest)]))
    floor = max((s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)), default=0.0)
    finite = every[np.isfinite(every)]
    # The ends alone are drawn, which seldom span more than four decades.
    threshold = Decades.of([finite], max(floor, 1e-4 * float(np.abs(finite).max(initial=0.0)))).threshold
    is_positive = bool(finite.min(initial=math.inf) > floor)
    panels = []
    for entry, spectra in seen:
        steps = np.array([s.step for s in spectra], dtype=float)
        lines = []
        ends: tuple[tuple[str, Dash, list[Array]], ...] = (
            ("largest", "solid", [s.largest for s in spectra]),
            ("smallest", "dashed", [s.smallest for s in spectra]),
        )
        for word, dash, values in ends:
            lines += [
                Series(
                    f"{entry.label}, {word}", entry.label, steps, np.array([v[i] for v in values]),
                    dash=dash, alpha=1 - 0.15 * i,
                )
                for i in range(min(_ENDS, *map(len, values)))
            ]  # fmt: skip
        panels.append(
            Panel(
                tuple(lines),
                "iterations",
                "eigenvalue",
                entry.label,
                x_scale=step_scale([s.step for s in spectra]),
                y_scale="log" if is_positive else "symlog",
                linthresh=threshold,
            )
        )
    caption = f"{group.title}: the {_ENDS} largest (solid) and {_ENDS} smallest (dashed) eigenvalues of the Hessian "
    caption += "over training, first seed" + ("." if is_positive else f"; linear within ±{threshold:.0e}.")
    return Chart(name, caption, tuple(panels))


def _sharpness(group: Group, name: str) -> Chart | None:
    """The largest eigenvalue and 2 / lr, for gradient descent; the first seed."""
    lines: list[Series] = []
    for entry in group.entries:
        spectra = [s for s in probed(entry) if math.isfinite(s.stability_limit) and math.isfinite(largest(s))]
        if len(spectra) > 1:
            steps = np.array([s.step for s in spectra], dtype=float)
            sharp, limits = np.array([[largest(s), s.stability_limit] for s in spectra]).T
            lines.append(Series(entry.label, entry.label, steps, sharp, drawn="both", dash="solid"))
            lines.append(Series(f"2 / lr of {entry.label}", entry.label, steps, limits, dash="dotted"))
    if not lines:
        return None
    drawn = np.concatenate([line.y for line in lines])
    panel = Panel(
        tuple(lines),
        "iterations",
        "largest eigenvalue of the Hessian",
        x_scale=step_scale([int(step) for line in lines for step in line.x]),
        y_scale="log" if drawn.min() > 0 and drawn.max() > 8 * drawn.min() else "linear",
    )
    caption = f"{group.title}: sharpness of gradient descent over training, first seed, against 2 / lr (dotted), above "
    return Chart(name, caption + "which it diverges on a quadratic.", (panel,))
