"""The figures of a problem as charts: loss, gradient norm, accuracy and step length, and what the probes saw."""

import math
from collections.abc import Sequence

import numpy as np

from hessrun.report.chart import Chart, Panel, Scale, Series
from hessrun.report.drawable import SPAN, drawable
from hessrun.report.groups import Group
from hessrun.report.numbers import AXES, Band, band, largest, smallest

_WIDE = 8.0  # a ratio beyond which an axis is logarithmic
_NAMES = {
    "train_loss": "training loss",
    "gradient_norm": "gradient norm",
    "validation_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "step_size": "step length",
}
AXIS_LABELS = {"step": "iterations", "seconds": "optimizer time (s)", "passes": "passes over the data"}


def figures(group: Group, prefix: str) -> list[Chart]:
    """All charts that the group has data for; `prefix` heads their names."""
    found = [
        _curves(group, f"{prefix}-loss", ["train_loss"], tuple(AXES), log=_is_positive(group)),
        _curves(group, f"{prefix}-gradient", ["gradient_norm"], tuple(AXES), log=True),
        _curves(group, f"{prefix}-accuracy", ["validation_accuracy", "test_accuracy"], ("passes",), log=False),
        _curves(group, f"{prefix}-step", ["step_size"], ("step",), log=True),
        _extremes(group, f"{prefix}-curvature"),
        _spectrum(group, f"{prefix}-spectrum"),
    ]
    return [chart for chart in found if chart is not None]


def _is_positive(group: Group) -> bool:
    """A log axis shows every loss: those of an objective without a known minimum must lie above 0."""
    if group.known_minimum is not None:
        return True
    bands = [band(entry, "step", "train_loss") for entry in group.entries]
    return all(b is None or bool((b.low > 0).all()) for b in bands)


def _curves(group: Group, name: str, columns: Sequence[str], paper: Sequence[str], *, log: bool) -> Chart | None:
    """A panel for each column and axis that has data; those against an axis not in `paper` are for the page's switch.

    Amounts that differ widely between optimizers get a logarithmic axis.
    """
    excess = columns[0] == "train_loss" and group.known_minimum is not None
    offset = float(group.known_minimum or 0.0) if excess else 0.0
    scale: Scale = "log" if log else "linear"
    panels, beyond = [], False
    for column in columns:
        for axis in AXES:
            bands = {e.label: found for e in group.entries if (found := band(e, axis, column)) is not None}
            bands = {k: b for k, b in bands.items() if np.isfinite(drawable(b.median - offset, scale)).any()}
            if not bands:
                continue
            beyond |= log and any((found.high > SPAN).any() for found in bands.values())
            ends = [float(found.x[-1]) for found in bands.values()]
            wide = axis != "step" and min(ends) > 0 and max(ends) > _WIDE * min(ends)
            panels.append(
                Panel(
                    series=tuple(
                        _line(entry.label, bands[entry.label], offset, several=len(entry.runs) > 1)
                        for entry in group.entries
                        if entry.label in bands
                    ),
                    x_label=AXIS_LABELS[axis],
                    y_label=_NAMES[column] + (" above the minimum" if excess else ""),
                    x_scale="log" if wide else "linear",
                    y_scale=scale,
                    axis=axis,
                    in_paper=axis in paper,
                )
            )
    if not any(panel.in_paper for panel in panels):
        return None
    shown = [panel for panel in panels if panel.in_paper]
    named = " and ".join(dict.fromkeys(panel.y_label for panel in shown))
    against = ", ".join(dict.fromkeys(AXES[panel.axis] for panel in shown))
    caption = f"{group.title}: {named} against {against}; "
    caption += "median over seeds, band from least to greatest. Lines go as far as every seed has rows."
    if any(panel.x_scale == "log" for panel in shown):
        caption += " Where an axis is logarithmic, the start at 0 is not on it."
    if beyond:
        caption += " Values beyond 1e280 are not drawn."
    return Chart(name, caption, tuple(panels))


def _line(label: str, found: Band, offset: float, *, several: bool) -> Series:
    low, high = (found.low - offset, found.high - offset) if several else (None, None)
    return Series(label, label, found.x, found.median - offset, low, high)


def _extremes(group: Group, name: str) -> Chart | None:
    """Over training: extreme eigenvalues, negative share, condition number; panels without data are left out."""
    kinds = ("largest eigenvalue", "smallest eigenvalue", "share of negative eigenvalues", "condition number")
    series: dict[str, dict[str, list[tuple[int, float]]]] = {kind: {} for kind in kinds}
    for entry in group.entries:
        for s in (s for run in entry.runs for s in run.spectra):
            ends = (largest(s), smallest(s))
            for kind, value in zip(kinds, (*ends, s.negative_share, s.condition_number), strict=True):
                if abs(value) <= SPAN:
                    series[kind].setdefault(entry.label, []).append((s.step, value))
    panels = tuple(_trend(kind, found) for kind, found in series.items() if found)
    if not panels:
        return None
    return Chart(name, f"{group.title}: Hessian spectra over training, median over the seeds probed at a step.", panels)


def _trend(kind: str, found: dict[str, list[tuple[int, float]]]) -> Panel:
    """The medians over seeds of one quantity of the spectra, against the steps probed."""
    lines = []
    for label, points in found.items():
        steps = sorted({step for step, _ in points})
        medians = [float(np.median([v for step, v in points if step == at])) for at in steps]
        lines.append(Series(label, label, np.array(steps, dtype=float), np.array(medians), drawn="both"))
    values = np.abs([v for points in found.values() for _, v in points])
    scale: Scale = "linear"
    threshold = 1.0
    if kind == "condition number":
        scale = "log"
    elif kind != "share of negative eigenvalues" and values.max() > _WIDE * values.min() and values.max() > 0:
        scale, least = "symlog", max(float(values[values > 0].min()), 1e-6 * float(values.max()))
        threshold = 10.0 ** math.floor(math.log10(least))
    every = [step for points in found.values() for step, _ in points]
    return Panel(tuple(lines), "iterations", kind, x_scale=step_scale(every), y_scale=scale, linthresh=threshold)


def step_scale(steps: Sequence[int]) -> Scale:
    """Probed steps that double are drawn on an axis where they lie at even distances, 0 included."""
    return "symlog" if max(steps) > _WIDE and len(set(steps)) < max(steps) / 2 else "linear"


def _spectrum(group: Group, name: str) -> Chart | None:
    """All eigenvalues at the start and at the end, sorted; the noise floor shaded. The first run of each entry."""
    ends: dict[str, list[Series]] = {"first probe": [], "last probe": []}
    floors: list[float] = []
    for entry in group.entries:
        exact = [s for s in entry.runs[0].spectra if s.eigenvalues.size]
        for found, s in zip(ends.values(), (exact[0], exact[-1]) if exact else (), strict=False):
            values = drawable(np.sort(s.eigenvalues))
            found.append(Series(entry.label, entry.label, np.arange(1.0, values.size + 1), values))
            floors += [s.noise_floor] if math.isfinite(s.noise_floor) else []
    sizes = [np.abs(line.y[np.isfinite(line.y)]).max(initial=0.0) for found in ends.values() for line in found]
    widest = float(max(sizes, default=0.0))
    if not widest > 0:
        return None
    floor = max(floors, default=0.0)
    panels = []
    for title, lines in ends.items():
        if floor > 0:
            zero = np.zeros(2)
            span = np.array([1.0, max(line.x.size for line in lines)])
            lines.insert(0, Series("noise floor", "", span, zero, zero - floor, zero + floor))
        panels.append(
            Panel(
                tuple(lines), "rank, ascending", "eigenvalue", title, y_scale="symlog",
                linthresh=10.0 ** (math.floor(math.log10(widest)) - 5),
            )
        )  # fmt: skip
    caption = f"{group.title}: all eigenvalues of the Hessian, sorted, for the first seed of each optimizer"
    return Chart(name, caption + (f"; shaded: the largest noise floor, {floor:.2g}." if floors else "."), tuple(panels))
