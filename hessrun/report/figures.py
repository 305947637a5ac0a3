"""The figures of a problem: one fixed colour, dash and marker for each optimizer; legends outside the axes."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES, band

# Okabe and Ito (2008): told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_KNOWN = ("gd", "newton", "bfgs", "lbfgs", "adam", "sgd", "torch_lbfgs", "adamw")
_SETTINGS: Any = {
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


def _render(figure: Figure, name: str, caption: str) -> Picture:
    FigureCanvasAgg(figure)
    axes = figure.axes[0]
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for kind, metadata in undated.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=150)
        files[kind] = buffer.getvalue()
    return Picture(name, caption, files)


def _draw(axes: Axes, entry: Entry, look: Look, axis: str, column: str, offset: float) -> bool:
    found = band(entry, axis, column)
    if found is None:
        return False
    median, low, high = (values - offset for values in (found.median, found.low, found.high))
    if axes.get_yscale() == "log":
        median, low, high = (np.where(v > 0, v, math.nan) for v in (median, low, high))
        if not np.isfinite(median).any():
            return False
    every = max(1, found.x.size // 8)
    axes.plot(
        found.x,
        median,
        look.dash,
        color=look.colour,
        marker=look.marker,
        markevery=every,
        ms=4,
        lw=1.4,
        label=entry.label,
    )
    if len(entry.runs) > 1:
        axes.fill_between(found.x, low, high, color=look.colour, alpha=0.15, linewidth=0)
    return True


def _curves(group: Group, name: str, column: str, axes_of: Sequence[str], *, log: bool) -> Picture | None:
    excess = column == "train_loss" and group.known_minimum is not None
    offset = float(group.known_minimum or 0.0) if excess else 0.0
    style, drawn = looks(group.entries), False
    figure = Figure(figsize=(1.0 + 3.2 * len(axes_of), 3.4), layout="constrained")
    panels = figure.subplots(1, len(axes_of), squeeze=False)[0]
    label = _NAMES[column] + (" above the minimum" if excess else "")
    for panel, axis in zip(panels, axes_of, strict=True):
        if log:
            panel.set_yscale("log")
        for entry in group.entries:
            drawn |= _draw(panel, entry, style[entry.label], axis, column, offset)
        panel.set_xlabel(AXES[axis] + (" (s)" if axis == "seconds" else ""))
        panel.locator_params(axis="x", nbins=5)
    panels[0].set_ylabel(label)
    if not drawn:
        return None
    against = ", ".join(AXES[axis] for axis in axes_of)
    caption = f"{group.title}: {label} against {against}; median over seeds, band from least to greatest."
    return _render(figure, name, caption + " Lines go as far as every seed has rows.")


def _extremes(group: Group, name: str) -> Picture | None:
    """Over training: extreme eigenvalues, negative share, condition number; panels without data are left out."""
    style = looks(group.entries)
    series: dict[str, dict[str, list[tuple[int, float]]]] = {"λ max": {}, "λ min": {}, "negative share": {}, "κ": {}}
    for entry in group.entries:
        for s in (s for run in entry.runs for s in run.spectra):
            for key, value in (
                ("λ max", float(s.largest[0]) if s.largest.size else math.nan),
                ("λ min", float(s.smallest[0]) if s.smallest.size else math.nan),
                ("negative share", s.negative_share),
                ("κ", s.condition_number),
            ):
                if math.isfinite(value):
                    series[key].setdefault(entry.label, []).append((s.step, value))
    present = {key: found for key, found in series.items() if found}
    if not present:
        return None
    figure = Figure(figsize=(1.0 + 2.7 * len(present), 3.4), layout="constrained")
    panels = figure.subplots(1, len(present), squeeze=False)[0]
    for panel, (key, found) in zip(panels, present.items(), strict=True):
        for label, points in found.items():
            steps = sorted({step for step, _ in points})
            medians = [float(np.median([v for step, v in points if step == at])) for at in steps]
            look = style[label]
            panel.plot(steps, medians, look.dash, color=look.colour, marker=look.marker, ms=4, label=label)
        if key == "κ":
            panel.set_yscale("log")
        elif key != "negative share":
            panel.set_yscale("symlog", linthresh=1e-3)
        panel.set_xlabel("iterations")
        panel.set_title(key)
    caption = f"{group.title}: Hessian spectra over training, median over the seeds probed at a step."
    return _render(figure, name, caption)


def _spectrum(group: Group, name: str) -> Picture | None:
    """All eigenvalues at the start and at the end, sorted; the noise floor shaded. The first run of each entry."""
    style, drawn = looks(group.entries), False
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for position, (panel, title) in enumerate(zip(panels, ("first probe", "last probe"), strict=True)):
        floors = []
        panel.set_yscale("symlog", linthresh=1e-6)
        for entry in group.entries:
            exact = [s for s in entry.runs[0].spectra if s.eigenvalues.size]
            if not exact:
                continue
            s, look = exact[-position], style[entry.label]
            rank = np.arange(1, s.eigenvalues.size + 1)
            panel.plot(rank, np.sort(s.eigenvalues), look.dash, color=look.colour, lw=1.3, label=entry.label)
            floors.append(s.noise_floor)
            drawn = True
        known = [floor for floor in floors if math.isfinite(floor)]
        if known:
            panel.axhspan(-max(known), max(known), color="0.8", linewidth=0)
        panel.set(title=title, xlabel="rank, ascending")
    panels[0].set_ylabel("eigenvalue")
    if not drawn:
        return None
    return _render(figure, name, f"{group.title}: eigenvalues of the Hessian, sorted; shaded: the largest noise floor.")


def figures(group: Group, prefix: str) -> list[Picture]:
    """All figures that the group has data for."""
    with mpl.rc_context(_SETTINGS):
        found = [
            _curves(group, f"{prefix}-loss", "train_loss", tuple(AXES), log=_is_positive(group)),
            _curves(group, f"{prefix}-gradient", "gradient_norm", tuple(AXES), log=True),
            _curves(group, f"{prefix}-validation-accuracy", "validation_accuracy", ("passes",), log=False),
            _curves(group, f"{prefix}-test-accuracy", "test_accuracy", ("passes",), log=False),
            _curves(group, f"{prefix}-step", "step_size", ("step",), log=True),
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
