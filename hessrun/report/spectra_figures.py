"""Figures of the recorded spectra over a run: trajectories, densities as a map, sharpness against 2 / lr."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hessrun.record import Spectrum
from hessrun.report.decades import Decades, densities
from hessrun.report.figures import SETTINGS, Look, Picture, looks, render
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import largest
from hessrun.report.ticks import power, tick_plainly

_ENDS = 5  # trajectories drawn at each end
_MAPS = 6  # optimizers in one figure


def spectra_figures(group: Group, prefix: str) -> list[Picture]:
    """All figures that the recorded spectra of the group have data for."""
    style = looks(group.entries)
    with mpl.rc_context(SETTINGS):
        found = [
            _trajectories(group, style, f"{prefix}-eigenvalues"),
            *_maps(group, f"{prefix}-densities"),
            _sharpness(group, style, f"{prefix}-sharpness"),
        ]
    return [picture for picture in found if picture is not None]


def _probed(entry: Entry) -> list[Spectrum]:
    """The spectra of the first run, in the order of their steps."""
    return sorted(entry.runs[0].spectra, key=lambda s: s.step)


def _trajectories(group: Group, style: dict[str, Look], name: str) -> Picture | None:
    """The five largest and the five smallest eigenvalues over the steps, a panel for each optimizer."""
    seen = [(entry, s) for entry in group.entries if len(s := [s for s in _probed(entry) if s.kind != "density"]) > 1]
    if not seen:
        return None
    figure, panels = _grid(len(seen))
    every = [np.concatenate([s.largest[:_ENDS], s.smallest[:_ENDS]]) for _, spectra in seen for s in spectra]
    floor = max((s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)), default=0.0)
    # The ends alone are drawn, which seldom span more than four decades.
    sizes = np.abs(np.concatenate(every))
    is_positive = bool(min(float(values.min(initial=math.inf)) for values in every) > floor)
    threshold = Decades.of(every, max(floor, 1e-4 * float(sizes.max(initial=0.0)))).threshold
    for panel, (entry, spectra) in zip(panels, seen, strict=False):
        for values, dash, label in (
            ([s.largest for s in spectra], "-", "largest"),
            ([s.smallest for s in spectra], "--", "smallest"),
        ):
            for i in range(min(_ENDS, *(len(v) for v in values))):
                panel.plot(
                    [s.step for s in spectra],
                    [v[i] for v in values],
                    dash,
                    color=style[entry.label].colour,
                    alpha=1 - 0.15 * i,
                    lw=1.2,
                    marker=".",
                    ms=3,
                    label=f"{label} (solid)" if dash == "-" else f"{label} (dashed)",
                )
        panel.set_title(entry.label, fontsize=9)
        _steps(panel, [s.step for s in spectra])
        if is_positive:
            panel.set_yscale("log")
        else:
            panel.set_yscale("symlog", linthresh=threshold)
        tick_plainly(panel.yaxis, panel.get_ylim())
        panel.set_ylabel("eigenvalue")
    caption = f"{group.title}: the {_ENDS} largest (solid) and {_ENDS} smallest (dashed) eigenvalues of the Hessian "
    return render(
        figure,
        name,
        caption + "over training, first seed" + ("." if is_positive else f"; linear within ±{threshold:.0e}."),
    )


def _maps(group: Group, stem: str) -> list[Picture]:
    """The share of eigenvalues per decade over the probed steps, a panel for each optimizer, six a figure."""
    seen = []
    for entry in group.entries:
        spectra = [s for s in _probed(entry) if s.eigenvalues.size or s.density_nodes.size]
        if len(spectra) > 1:
            seen.append((entry, spectra))
    pictures = []
    for start in range(0, len(seen), _MAPS):
        part = seen[start : start + _MAPS]
        suffix = "" if len(seen) <= _MAPS else f"-{start // _MAPS + 1}"
        pictures.append(_map(group, part, stem + suffix))
    return pictures


def _map(group: Group, seen: Sequence[tuple[Entry, list[Spectrum]]], name: str) -> Picture:
    every = [np.concatenate([s.eigenvalues, s.density_nodes.ravel()]) for _, spectra in seen for s in spectra]
    floors = [s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)]
    decades = Decades.of(every, max(floors, default=0.0))
    least = 0.5 / max(s.n for _, spectra in seen for s in spectra)
    columns = [_columns(spectra, decades) for _, spectra in seen]
    norm = LogNorm(least, max(least * 10, max(float(c.max()) for c in columns)))
    figure, panels = _grid(len(seen))
    image = None
    for panel, (entry, spectra), shares in zip(panels, seen, columns, strict=False):
        # The probed steps lie at even distances: they double from one to the next.
        edges = np.arange(len(spectra) + 1) - 0.5
        t = decades.ticks
        image = panel.pcolormesh(
            edges, np.append(t, 2 * t[-1] - t[-2]), np.ma.masked_less(shares, least), norm=norm, cmap="cividis",
            rasterized=True,
        )  # fmt: skip
        chosen = np.unique(np.linspace(0, len(spectra) - 1, min(6, len(spectra))).round().astype(int))
        panel.set_xticks(chosen, [str(spectra[i].step) for i in chosen])
        panel.set_yticks(*_decade_ticks(decades))
        panel.set_title(entry.label, fontsize=9)
        panel.set(xlabel="iteration probed", ylabel="eigenvalue")
        panel.grid(visible=False)
    if image is not None:
        bar = figure.colorbar(image, ax=list(panels), label="share of the eigenvalues per decade")
        tick_plainly(bar.ax.yaxis, (norm.vmin or least, norm.vmax or 1.0))
    caption = f"{group.title}: density of the Hessian's eigenvalues over training, first seed; the eigenvalue axis is "
    return render(figure, name, caption + f"linear within ±{decades.threshold:.0e} and logarithmic beyond.")


def _columns(spectra: Sequence[Spectrum], decades: Decades) -> Array:
    rows = [found.mean(0) for s in spectra if (found := densities(s, decades)) is not None]
    return np.array(rows).T


def _decade_ticks(decades: Decades) -> tuple[Array, list[str]]:
    """Powers of ten, about six of them, and 0."""
    first, last = math.ceil(decades.low), math.floor(decades.high)
    every = max(1, math.ceil((last - first) / 8))
    at = np.array([t for t in range(first, last + 1) if t % every == 0], dtype=float)
    return at, [power(math.copysign(decades.threshold * 10 ** (abs(t) - 1), t)) if t else "0" for t in at]


def _sharpness(group: Group, style: dict[str, Look], name: str) -> Picture | None:
    """The largest eigenvalue and 2 / lr, for gradient descent; the first seed."""
    seen = []
    for entry in group.entries:
        spectra = [s for s in _probed(entry) if math.isfinite(s.stability_limit) and math.isfinite(largest(s))]
        if len(spectra) > 1:
            seen.append((entry, spectra))
    if not seen:
        return None
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    panel = figure.subplots()
    for entry, spectra in seen:
        look, steps = style[entry.label], [s.step for s in spectra]
        values, limits = [largest(s) for s in spectra], [s.stability_limit for s in spectra]
        panel.plot(steps, values, "-", color=look.colour, marker=look.marker, ms=4, lw=1.4, label=entry.label)
        panel.plot(steps, limits, ":", color=look.colour, lw=1.4, label=f"2 / lr of {entry.label}")
    _steps(panel, [s.step for _, spectra in seen for s in spectra])
    drawn = np.array([v for _, spectra in seen for s in spectra for v in (largest(s), s.stability_limit)])
    if drawn.min() > 0 and drawn.max() > 8 * drawn.min():
        panel.set_yscale("log")
    tick_plainly(panel.yaxis, panel.get_ylim())
    panel.set_ylabel("largest eigenvalue of the Hessian")
    caption = f"{group.title}: sharpness of gradient descent over training, first seed, against 2 / lr (dotted), above "
    return render(figure, name, caption + "which it diverges on a quadratic.")


def _grid(count: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels, three a row at most."""
    columns = min(3, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(max(4.6, 1.0 + 3.1 * columns), 0.6 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, list(panels[:count])


def _steps(panel: Axes, steps: Sequence[int]) -> None:
    """Probed steps that double are drawn on an axis where they lie at even distances, 0 included."""
    if max(steps) > 8 and len(set(steps)) < max(steps) / 2:
        panel.set_xscale("symlog", linthresh=1)
    tick_plainly(panel.xaxis, panel.get_xlim())
    panel.set_xlabel("iterations")
