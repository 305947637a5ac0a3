"""The figure of one spectrum: its density on axes that hold many decades, the outliers and the noise floor."""

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hessrun.record import Spectrum
from hessrun.report.decades import Decades, densities
from hessrun.report.draw import SETTINGS, Picture, render
from hessrun.report.drawable import SPAN, drawable
from hessrun.report.groups import Array
from hessrun.report.ticks import tick_plainly

_BULK, _OUTLIER, _SMALL = "#0072B2", "#D55E00", "#009E73"
# A floor of a smaller share of the axis' linear part is no more than a line at 0; the caption has its size.
_VISIBLE = 0.02
_MATRICES = {"hessian": "the Hessian", "gauss_newton": "the Gauss-Newton matrix"}


def spectrum_figure(spectrum: Spectrum, name: str, title: str) -> Picture:
    """A density over the eigenvalues, or the known ends by rank where no more is known.

    name: of the files; title: what the spectrum is of, at the head of the caption.
    """
    parts = [spectrum.eigenvalues, spectrum.largest, spectrum.smallest, spectrum.density_nodes.ravel()]
    every = np.concatenate(parts)
    known = drawable(every)
    decades = Decades.of([known], spectrum.noise_floor)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        each = densities(spectrum, decades)
        if each is None:
            decades = Decades.of([known], 0.1 * float(np.nanmin(np.abs(known), initial=np.inf)))
            _draw_ends(axes, spectrum)
        else:
            _draw_density(axes, spectrum, decades, each)
        floor = spectrum.noise_floor
        if _VISIBLE * decades.threshold <= floor <= SPAN:
            axes.axvspan(-floor, floor, color="0.85", linewidth=0, zorder=0, label="noise floor")
        axes.set_xscale("symlog", linthresh=decades.threshold)
        tick_plainly(axes.xaxis, axes.get_xlim())
        if each is None:
            axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        else:
            tick_plainly(axes.yaxis, axes.get_ylim())
        axes.set_title(f"{_MATRICES.get(spectrum.matrix, spectrum.matrix)} of {title}", fontsize=9)
        axes.set_xlabel("eigenvalue (loss per squared unit of the parameters)")
        beyond = " Values beyond 1e280 are not drawn." if (np.abs(every) > SPAN).any() else ""
        return render(figure, name, _caption(spectrum, title, decades) + beyond)


def _draw_density(axes: Axes, spectrum: Spectrum, decades: Decades, each: Array) -> None:
    mean = each.mean(0)
    axes.plot(decades.grid, mean, color=_BULK, lw=1.4, label="density")
    least = 0.2 / spectrum.n
    if len(each) > 1:
        error = each.std(0, ddof=1) / math.sqrt(len(each))
        axes.fill_between(
            decades.grid,
            np.maximum(mean - error, 1e-3 * least),
            mean + error,
            color=_BULK,
            alpha=0.25,
            linewidth=0,
            label="standard error",
        )
    if spectrum.eigenvalues.size:
        count = max(0, spectrum.outliers)
        ordered = drawable(np.sort(spectrum.eigenvalues)[::-1])
        for values, colour, label in ((ordered[count:], _BULK, "eigenvalues"), (ordered[:count], _OUTLIER, "outliers")):
            if values.size:
                axes.plot(values, np.full(values.size, 1.6 * least), "|", color=colour, ms=9, mew=1.0, label=label)
    alone = drawable(_given_their_weight(spectrum))
    if alone.size:
        axes.plot(alone, np.full(alone.size, 1.6 * least), "|", color=_SMALL, ms=9, mew=1.0, label="found one by one")
    axes.set_yscale("log")
    axes.set_ylim(least, 3 * float(mean.max()))
    axes.set_ylabel("share of the eigenvalues per decade")


def _given_their_weight(spectrum: Spectrum) -> Array:
    """The eigenvalues that one random vector found, which have the weight 1 / n in the rules of the others.

    Outliers are among them; at the edge of a bulk some belong to it.
    """
    if len(spectrum.density_nodes) < 2:
        return np.empty(0)
    found: Array = spectrum.density_nodes[1][spectrum.density_weights[1] == 1 / spectrum.n]
    return found


def _draw_ends(axes: Axes, spectrum: Spectrum) -> None:
    for values, residuals, colour, marker, label in (
        (spectrum.largest, spectrum.largest_residuals, _OUTLIER, "o", "largest"),
        (spectrum.smallest, spectrum.smallest_residuals, _SMALL, "s", "smallest"),
    ):
        rank = np.arange(1, values.size + 1)
        axes.errorbar(
            drawable(values),
            rank,
            xerr=drawable(residuals) if residuals.size else None,
            fmt=marker,
            color=colour,
            ms=4,
            capsize=2,
            lw=1,
            label=label,
        )
    axes.set_ylabel("rank from its end")
    axes.set_ylim(max(spectrum.largest.size, spectrum.smallest.size, 1) + 0.5, 0.5)


def _caption(spectrum: Spectrum, title: str, decades: Decades) -> str:
    what = _MATRICES.get(spectrum.matrix, spectrum.matrix)
    part = "" if spectrum.parameters == "*" else f", restricted to {spectrum.parameters}"
    text = f"{title}: {'ends of the spectrum' if spectrum.kind == 'lanczos' else 'spectral density'} of {what}{part}"
    text += f" ({spectrum.n:,} parameters). The axis is linear within ±{decades.threshold:.0e}"
    text += f"; noise floor {spectrum.noise_floor:.1e}"
    if spectrum.kind == "lanczos":
        return text + "; bars are residuals."
    if spectrum.kind == "density":
        return text + f"; the band is the standard error over {len(spectrum.density_nodes)} random vectors."
    return text + (f"; {spectrum.outliers} outliers." if spectrum.outliers >= 0 else ".")
