"""The density of the eigenvalues over a run as a map: a column for each probed step, the share per decade as colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm

from hessrun.record import Spectrum
from hessrun.report.decades import Decades, densities
from hessrun.report.draw import SETTINGS, Picture, render
from hessrun.report.drawable import drawable
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.panels import grid, share
from hessrun.report.spectra_figures import probed
from hessrun.report.ticks import power, tick_plainly

_MAPS = 6  # optimizers in one figure


@dataclass(frozen=True)
class DensityMap:
    """A panel for each optimizer. least: the smallest share per decade that is drawn, of the colour scale's lower end.

    panels: of each its title, the probed steps [s] and the shares [g, s] at the grid of `decades`.
    """

    name: str
    caption: str
    decades: Decades
    least: float
    panels: tuple[tuple[str, tuple[int, ...], Array], ...]


def density_maps(group: Group, prefix: str) -> list[DensityMap]:
    """The share of eigenvalues per decade over the probed steps of the first run of each optimizer, six a figure."""
    seen = []
    for entry in group.entries:
        spectra = [s for s in probed(entry) if s.eigenvalues.size or s.density_nodes.size]
        if len(spectra) > 1:
            seen.append((entry, spectra))
    maps = []
    for start in range(0, len(seen), _MAPS):
        suffix = "" if len(seen) <= _MAPS else f"-{start // _MAPS + 1}"
        maps.append(_map(group, seen[start : start + _MAPS], f"{prefix}-densities{suffix}"))
    return maps


def _map(group: Group, seen: Sequence[tuple[Entry, list[Spectrum]]], name: str) -> DensityMap:
    every = [drawable(np.concatenate([s.eigenvalues, s.density_nodes.ravel()])) for _, spectra in seen for s in spectra]
    floors = [s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)]
    decades = Decades.of(every, max(floors, default=0.0))
    caption = f"{group.title}: density of the Hessian's eigenvalues over training, first seed; the eigenvalue axis is "
    return DensityMap(
        name,
        caption + f"linear within ±{decades.threshold:.0e} and logarithmic beyond.",
        decades,
        0.5 / max(s.n for _, spectra in seen for s in spectra),
        tuple((entry.label, tuple(s.step for s in spectra), _columns(spectra, decades)) for entry, spectra in seen),
    )


def _columns(spectra: Sequence[Spectrum], decades: Decades) -> Array:
    rows = [found.mean(0) for s in spectra if (found := densities(s, decades)) is not None]
    return np.array(rows).T


def draw_map(chart: DensityMap) -> Picture:
    """The map as a picture."""
    least, t = chart.least, chart.decades.ticks
    norm = LogNorm(least, max(least * 10, max(float(shares.max()) for _, _, shares in chart.panels)))
    with mpl.rc_context(SETTINGS):
        figure, axes = grid(len(chart.panels))
        image = None
        for panel, (title, steps, shares) in zip(axes, chart.panels, strict=True):
            # The probed steps lie at even distances: they double from one to the next.
            edges = np.arange(len(steps) + 1) - 0.5
            image = panel.pcolormesh(
                edges, np.append(t, 2 * t[-1] - t[-2]), np.ma.masked_less(shares, least), norm=norm, cmap="cividis",
                rasterized=True,
            )  # fmt: skip
            chosen = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
            panel.set_xticks(chosen, [str(steps[i]) for i in chosen])
            panel.set_yticks(*_decade_ticks(chart.decades))
            panel.set_title(title, fontsize=9)
            panel.set(xlabel="iteration probed", ylabel="eigenvalue")
            panel.grid(visible=False)
            panel.tick_params(bottom=True, left=True)
        share(axes, "x", lambda i: chart.panels[i][1])
        share(axes, "y", lambda _: chart.decades)
        if image is not None:
            bar = figure.colorbar(image, ax=list(axes), label="share of the eigenvalues per decade")
            tick_plainly(bar.ax.yaxis, (norm.vmin or least, norm.vmax or 1.0))
        return render(figure, chart.name, chart.caption)


def _decade_ticks(decades: Decades) -> tuple[Array, list[str]]:
    """Powers of ten, about six of them, and 0."""
    first, last = math.ceil(decades.low), math.floor(decades.high)
    every = max(1, math.ceil((last - first) / 8))
    at = np.array([t for t in range(first, last + 1) if t % every == 0], dtype=float)
    return at, [power(math.copysign(decades.threshold * 10 ** (abs(t) - 1), t)) if t else "0" for t in at]
