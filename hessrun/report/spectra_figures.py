"""The recorded spectra over a run: trajectories and sharpness as charts, densities as a map."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm

from hessrun.record import Spectrum
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.decades import Decades, densities
from hessrun.report.draw import SETTINGS, Picture, grid, render
from hessrun.report.drawable import drawable
from hessrun.report.figures import step_scale
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import largest
from hessrun.report.ticks import power, tick_plainly

_ENDS = 5  # trajectories drawn at each end
_MAPS = 6  # optimizers in one figure


def spectra_charts(group: Group, prefix: str) -> list[Chart]:
    """The charts that the recorded spectra of the group have data for; `prefix` heads their names."""
    found = [_trajectories(group, f"{prefix}-eigenvalues"), _sharpness(group, f"{prefix}-sharpness")]
    return [chart for chart in found if chart is not None]


def density_maps(group: Group, prefix: str) -> list[Picture]:
    """The share of eigenvalues per decade over the probed steps, a panel for each optimizer, six a figure."""
    seen = []
    for entry in group.entries:
        spectra = [s for s in probed(entry) if s.eigenvalues.size or s.density_nodes.size]
        if len(spectra) > 1:
            seen.append((entry, spectra))
    pictures = []
    with mpl.rc_context(SETTINGS):
        for start in range(0, len(seen), _MAPS):
            suffix = "" if len(seen) <= _MAPS else f"-{start // _MAPS + 1}"
            pictures.append(_map(group, seen[start : start + _MAPS], f"{prefix}-densities{suffix}"))
    return pictures


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
        for word, dash, values in (
            ("largest", "solid", [s.largest for s in spectra]),
            ("smallest", "dashed", [s.smallest for s in spectra]),
        ):
            lines += [
                Series(
                    f"{entry.label}, {word}", entry.label, steps, np.array([v[i] for v in values]),
                    dash="solid" if dash == "solid" else "dashed", alpha=1 - 0.15 * i,
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


def _map(group: Group, seen: Sequence[tuple[Entry, list[Spectrum]]], name: str) -> Picture:
    every = [drawable(np.concatenate([s.eigenvalues, s.density_nodes.ravel()])) for _, spectra in seen for s in spectra]
    floors = [s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)]
    decades = Decades.of(every, max(floors, default=0.0))
    least = 0.5 / max(s.n for _, spectra in seen for s in spectra)
    columns = [_columns(spectra, decades) for _, spectra in seen]
    norm = LogNorm(least, max(least * 10, max(float(c.max()) for c in columns)))
    figure, panels = grid(len(seen))
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
