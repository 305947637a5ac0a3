"""What an axis can hold: values that a figure leaves out, and series thinned to what a page can carry."""

import itertools
import math

import numpy as np
import numpy.typing as npt

from hessrun.report.chart import Scale
from hessrun.report.groups import Array

SPAN = 1e280  # on a log axis, margins of a twentieth of 560 decades still end within float64


def drawable(values: Array, scale: Scale = "symlog") -> Array:
    """The values that an axis of this scale can hold with its margins, and NaN for all others.

    NaN for what is beyond 1e280 in size, or not finite; on a log axis also for what does not lie above 1e-280. Of a
    curve that overflows, the part before is drawn; margins that overflow would leave the figure empty.
    """
    values = np.asarray(values, dtype=float)
    held = np.where(np.abs(values) <= SPAN, values, math.nan)
    return np.where(held >= 1 / SPAN, held, math.nan) if scale == "log" else held


def thinned(y: Array, most: int) -> npt.NDArray[np.intp]:
    """The indices [at most `most`, ascending] of points to keep: the ends, and the least and greatest of each stretch.

    most: at least 4.
    """
    if y.size <= most:
        return np.arange(y.size)
    edges = np.linspace(0, y.size, (most - 2) // 2 + 1).astype(int)
    kept = {0, y.size - 1}
    for start, stop in itertools.pairwise(edges):
        part = y[start:stop]
        if np.isfinite(part).any():
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return np.array(sorted(kept))
