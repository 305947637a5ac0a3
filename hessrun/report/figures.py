"""The figures of a problem: one fixed colour, dash and marker for each optimizer; legends outside the axes."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import AXES, Band, band, largest, smallest
from hessrun.report.ticks import tick_plainly

# Okabe and Ito (2008): told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_KNOWN = ("gd", "newton", "bfgs", "lbfgs", "adam", "sgd", "torch_lbfgs", "adamw")
_WIDE = 8.0  # a ratio beyond which an axis is logarithmic
_SPAN = 1e280  # on a log axis, margins of a twentieth of 560 decades still end within float64
SETTINGS: Any = {
    "svg.hashsalt": "hessrun",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_NAMES = {
    "train_loss": "training loss",
    "gradient_norm": "gradient norm",
    "validation_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "step_size": "step length",
}


@dataclass(frozen=True)
class Picture:
    """A rendered figure: its files' name, its caption and its bytes by format."""

    name: str
    caption: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Look:
    """How an entry is drawn, everywhere in a problem."""

    colour: str
    dash: str
    marker: str


def looks(entries: Sequence[Entry]) -> dict[str, Look]:
    """A look by label: known names keep theirs, other names and further settings take the next ones in order."""
    taken: dict[str, int] = {}
    for entry in entries:
        if entry.name in _KNOWN and _KNOWN.index(entry.name) not in taken.values():
            taken[entry.label] = _KNOWN.index(entry.name)
    for entry in entries:
        if entry.label not in taken:
            taken[entry.label] = next(i for i in range(len(entries) + len(_KNOWN)) if i not in taken.values())
    size = len(_COLOURS)
    return {
        label: Look(_COLOURS[i % size], _DASHES[(i + i // size) % len(_DASHES)], _MARKERS[i % size])
        for label, i in taken.items()
    }


def render(figure: Figure, name: str, caption: str) -> Picture:
    """The figure in all formats, with one legend below its panels of all that is labelled in them."""
    FigureCanvasAgg(figure)
    shown: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    columns = max(1, min(4, int(figure.get_figwidth() * 13 / (8 + max(map(len, shown), default=0)))))
    if shown:
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns, frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # laid out once, not again for each format
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for kind, metadata in undated.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
        files[kind] = buffer.getvalue()
    return Picture(name, caption, files)


def drawable(values: Array) -> Array:
    """What a log or symlog axis can hold with its margins; NaN for the values beyond 1e280 in size, or not finite.

    Of a curve that overflows, the part before is drawn; margins that overflow would leave the figure empty.
    """
    return np.where(np.abs(values) <= _SPAN, values, math.nan)


def _positive(values: Array) -> Array:
    """The same for a log axis: NaN also for what does not lie above 1e-280."""
    return np.where(values >= 1 / _SPAN, drawable(values), math.nan)


def _draw(axes: Axes, entry: Entry, look: Look, found: Band, offset: float) -> None:
    x, (median, low, high) = found.x, (values - offset for values in (found.median, found.low, found.high))
    if axes.get_yscale() == "log":
        median, low, high = (_positive(v) for v in (median, low, high))
    if axes.get_xscale() == "log":
        x = _positive(x)
    every = max(1, x.size // 8)
    line: dict[str, Any] = {"color": look.colour, "marker": look.marker, "markevery": every, "ms": 4, "lw": 1.4}
    axes.plot(x, median, look.dash, label=entry.label, **line)
    if len(entry.runs) > 1:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)


def _curves(group: Group, name: str, wanted: Sequence[tuple[str, str]], *, log: bool) -> Picture | None:
    """A panel for each wanted (column, axis) that has data; amounts that differ widely get a logarithmic axis."""
    excess = wanted[0][0] == "train_loss" and group.known_minimum is not None
    offset = float(group.known_minimum or 0.0) if excess else 0.0
    present = []
    for column, axis in wanted:
        bands = {e.label: found for e in group.entries if (found := band(e, axis, column)) is not None}
        if log:
            bands = {
                label: found for label, found in bands.items() if np.isfinite(_positive(found.median - offset)).any()
            }
        if bands:
            present.append((column, axis, bands))
    if not present:
        return None
    style = looks(group.entries)
    figure = Figure(figsize=(max(4.2, 1.0 + 3.2 * len(present)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(present), squeeze=False)[0]
    for panel, (column, axis, bands) in zip(panels, present, strict=True):
        ends = [float(found.x[-1]) for found in bands.values()]
        if axis != "step" and min(ends) > 0 and max(ends) > _WIDE * min(ends):
            panel.set_xscale("log")
        if log:
            panel.set_yscale("log")
        for entry in group.entries:
            if entry.label in bands:
                _draw(panel, entry, style[entry.label], bands[entry.label], offset)
        tick_plainly(panel.xaxis, panel.get_xlim())
        tick_plainly(panel.yaxis, panel.get_ylim())
        panel.set_xlabel(AXES[axis] + (" (s)" if axis == "seconds" else ""))
        panel.set_ylabel(_NAMES[column] + (" above the minimum" if excess else ""))
    named = " and ".join(dict.fromkeys(_NAMES[column] for column, _, _ in present))
    against = ", ".join(dict.fromkeys(AXES[axis] for _, axis, _ in present))
    caption = f"{group.title}: {named}{' above the minimum' if excess else ''} against {against}; "
    caption += "median over seeds, band from least to greatest. Lines go as far as every seed has rows."
    if any(panel.get_xscale() == "log" for panel in panels):
        caption += " Where an axis is logarithmic, the start at 0 is not on it."
    if log and any((found.high > _SPAN).any() for _, _, bands in present for found in bands.values()):
        caption += " Values beyond 1e280 are not drawn."
    return render(figure, name, caption)


def _extremes(group: Group, name: str) -> Picture | None:
    """Over training: extreme eigenvalues, negative share, condition number; panels without data are left out."""
    style = looks(group.entries)
    kinds = ("largest eigenvalue", "smallest eigenvalue", "share of negative eigenvalues", "condition number")
    series: dict[str, dict[str, list[tuple[int, float]]]] = {kind: {} for kind in kinds}
    for entry in group.entries:
        for s in (s for run in entry.runs for s in run.spectra):
            ends = (largest(s), smallest(s))
            for kind, value in zip(kinds, (*ends, s.negative_share, s.condition_number), strict=True):
                if abs(value) <= _SPAN:
                    series[kind].setdefault(entry.label, []).append((s.step, value))
    present = {kind: found for kind, found in series.items() if found}
    if not present:
        return None
    figure = Figure(figsize=(max(4.2, 1.0 + 2.7 * len(present)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(present), squeeze=False)[0]
    for panel, (kind, found) in zip(panels, present.items(), strict=True):
        for label, points in found.items():
            steps = sorted({step for step, _ in points})
            medians = [float(np.median([v for step, v in points if step == at])) for at in steps]
            look = style[label]
            panel.plot(steps, medians, look.dash, color=look.colour, marker=look.marker, ms=4, label=label)
        values = np.abs([v for points in found.values() for _, v in points])
        if kind == "condition number":
            panel.set_yscale("log")
        elif kind != "share of negative eigenvalues" and values.max() > _WIDE * values.min() and values.max() > 0:
            least = max(float(values[values > 0].min()), 1e-6 * float(values.max()))
            panel.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(least)))
        tick_plainly(panel.xaxis, panel.get_xlim())
        tick_plainly(panel.yaxis, panel.get_ylim())
        panel.set(xlabel="iterations", ylabel=kind)
    caption = f"{group.title}: Hessian spectra over training, median over the seeds probed at a step."
    return render(figure, name, caption)


def _spectrum(group: Group, name: str) -> Picture | None:
    """All eigenvalues at the start and at the end, sorted; the noise floor shaded. The first run of each entry."""
    style, widest = looks(group.entries), 0.0
    floors: list[float] = []
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for position, (panel, title) in enumerate(zip(panels, ("first probe", "last probe"), strict=True)):
        for entry in group.entries:
            exact = [s for s in entry.runs[0].spectra if s.eigenvalues.size]
            if not exact:
                continue
            s, look = exact[-position], style[entry.label]
            rank = np.arange(1, s.eigenvalues.size + 1)
            values = drawable(np.sort(s.eigenvalues))
            panel.plot(rank, values, look.dash, color=look.colour, lw=1.3, label=entry.label)
            floors += [s.noise_floor] if math.isfinite(s.noise_floor) else []
            widest = max(widest, float(np.nan_to_num(np.abs(values)).max()))
        panel.set(title=title, xlabel="rank, ascending")
    panels[0].set_ylabel("eigenvalue")
    if not widest > 0:
        return None
    panels[0].set_yscale("symlog", linthresh=10.0 ** (math.floor(math.log10(widest)) - 5))  # shared by both
    for panel in panels:
        if floors:
            panel.axhspan(-max(floors), max(floors), color="0.8", linewidth=0)
        tick_plainly(panel.xaxis, panel.get_xlim())
        tick_plainly(panel.yaxis, panel.get_ylim())
    caption = f"{group.title}: all eigenvalues of the Hessian, sorted, for the first seed of each optimizer"
    caption += f"; shaded: the largest noise floor, {max(floors):.2g}." if floors else "."
    return render(figure, name, caption)


def figures(group: Group, prefix: str) -> list[Picture]:
    """All figures that the group has data for."""
    accuracies = (("validation_accuracy", "passes"), ("test_accuracy", "passes"))
    with mpl.rc_context(SETTINGS):
        found = [
            _curves(group, f"{prefix}-loss", [("train_loss", axis) for axis in AXES], log=_is_positive(group)),
            _curves(group, f"{prefix}-gradient", [("gradient_norm", axis) for axis in AXES], log=True),
            _curves(group, f"{prefix}-accuracy", accuracies, log=False),
            _curves(group, f"{prefix}-step", [("step_size", "step")], log=True),
            _extremes(group, f"{prefix}-curvature"),
            _spectrum(group, f"{prefix}-spectrum"),
        ]
    return [picture for picture in found if picture is not None]


def _is_positive(group: Group) -> bool:
    """A log axis shows every loss: those of an objective without a known minimum must lie above 0."""
    if group.known_minimum is not None:
        return True
    bands = [band(entry, "step", "train_loss") for entry in group.entries]
    return all(b is None or bool((b.low > 0).all()) for b in bands)
