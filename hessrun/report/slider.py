"""The spectra of a problem as the page's slider moves through them: at each probed step sorted, and as a density."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hessrun.record import Spectrum
from hessrun.report.decades import Decades, densities
from hessrun.report.drawable import drawable
from hessrun.report.groups import Array, Group
from hessrun.report.interactive import numbers
from hessrun.report.spectra_figures import probed

_MOST_POINTS, _FEWEST_POINTS = 200, 30  # of a sorted spectrum
_PAGE_POINTS = 100_000  # of all spectra of a page
_STEPS = 16  # of a run
_A_CELL = 4  # points of the density's grid


def points_a_spectrum(groups: Sequence[Group]) -> int:
    """How many eigenvalues of each spectrum one page can carry for all these problems."""
    count = sum(min(_STEPS, len(entry.runs[0].spectra)) for group in groups for entry in group.entries)
    return min(_MOST_POINTS, max(_FEWEST_POINTS, _PAGE_POINTS // max(1, count)))


def slider(group: Group, *, points: int = _MOST_POINTS) -> dict[str, Any] | None:
    """The first run of each optimizer that has been probed twice or more; None where there is none.

    `runs`: each with `entry` and `probes`; a probe has its step, `ranks` and `values` of the eigenvalues, `shares` per
    decade at the positions `grid`, and facts. `threshold`: up to which the axis of the eigenvalues is linear.
    points: of a sorted spectrum, at most.
    """
    seen = []
    for entry in group.entries:
        spectra = [s for s in probed(entry) if s.eigenvalues.size or s.density_nodes.size or s.largest.size]
        if len(spectra) > 1:
            kept = np.unique(np.linspace(0, len(spectra) - 1, min(_STEPS, len(spectra))).round().astype(int))
            seen.append((entry, [spectra[i] for i in kept]))
    if not seen:
        return None
    every = [drawable(_known(s)) for _, spectra in seen for s in spectra]
    floors = [s.noise_floor for _, spectra in seen for s in spectra if math.isfinite(s.noise_floor)]
    decades = Decades.of(every, max(floors, default=0.0))
    return {
        "title": group.title,
        "threshold": decades.threshold,
        "ends": numbers(np.array([decades.low, decades.high])),
        "grid": numbers(_cells(decades.ticks, np.mean)),
        "runs": [
            {
                "entry": entry.label,
                "seed": entry.runs[0].manifest.get("seed"),
                "probes": [_probe(s, decades, points) for s in spectra],
            }
            for entry, spectra in seen
        ],
    }


def _known(spectrum: Spectrum) -> Array:
    return np.concatenate([spectrum.eigenvalues, spectrum.largest, spectrum.smallest, spectrum.density_nodes.ravel()])


def _cells(values: Array, of: Any) -> Array:
    """Each four points of the grid as one, so that no peak is lost."""
    padded = np.pad(values, (0, -values.size % _A_CELL), mode="edge")
    return np.asarray(of(padded.reshape(-1, _A_CELL), axis=1), dtype=float)


def _probe(s: Spectrum, decades: Decades, points: int) -> dict[str, Any]:
    """One spectrum: of many exact eigenvalues, evenly spaced ranks; of ends alone, the ranks they have."""
    if s.eigenvalues.size:
        values = np.sort(s.eigenvalues)
        at = np.unique(np.linspace(0, values.size - 1, min(points, values.size)).round().astype(int))
        ranks, values = at + 1, values[at]
    else:
        values = np.concatenate([s.smallest, s.largest[::-1]])
        ranks = np.concatenate([np.arange(1, s.smallest.size + 1), s.n - np.arange(s.largest.size)[::-1]])
    found = densities(s, decades)
    return {
        "step": s.step,
        "kind": s.kind,
        "n": s.n,
        "ranks": [int(rank) for rank in ranks],
        "values": [None if v is None else float(f"{v:.4g}") for v in numbers(drawable(values))],
        "shares": None if found is None else [float(f"{v:.3g}") for v in _cells(found.mean(0), np.max)],
        "negative": s.negative if s.negative >= 0 else None,
        "floor": s.noise_floor if math.isfinite(s.noise_floor) else None,
    }
