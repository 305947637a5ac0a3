"""A figure's panels in rows; where neighbours show the same quantity, they share its axis and its labels stand once."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_IN_ONE_ROW = 4
_ROW_OF_MANY = 3
_STRETCH = 3.0  # of the usual extent, beyond which an axis in common would squeeze what most panels show

Which = Literal["x", "y"]


def grid(count: int, *, height: float = 2.8) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels, each `height` inches: up to four in one row, else three a row."""
    columns = _columns(count)
    rows = math.ceil(count / columns)
    width = 2.7 if columns == 4 else 3.2
    figure = Figure(figsize=(max(4.6, 1.0 + width * columns), 0.6 + height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, list(panels[:count])


def share(panels: Sequence[Axes], which: Which, quantity: Callable[[int], Any]) -> None:
    """Give all panels of a grid the same limits and scale, and the labels of that axis to the outermost alone.

    quantity: of the panel at an index, what its axis shows; nothing is done where they differ, or where one panel's
    values reach so far that in common limits the others' would be flat.
    """
    if len(panels) < 2 or any(quantity(i) != quantity(0) for i in range(1, len(panels))):
        return
    transform = (panels[0].xaxis if which == "x" else panels[0].yaxis).get_transform()
    limits = [panel.get_xlim() if which == "x" else panel.get_ylim() for panel in panels]
    ends = [transform.transform(limit) for limit in limits]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if not high - low <= _STRETCH * median(end[1] - end[0] for end in ends):
        return
    common = (min(limit[0] for limit in limits), max(limit[1] for limit in limits))
    columns = _columns(len(panels))
    for index, panel in enumerate(panels):
        panel.set(**{f"{which}lim": common})
        is_outermost = index + columns >= len(panels) if which == "x" else index % columns == 0
        if not is_outermost:
            panel.set(**{f"{which}label": ""})
            panel.tick_params(axis=which, labelbottom=False, labelleft=False)


def _columns(count: int) -> int:
    return count if count <= _IN_ONE_ROW else _ROW_OF_MANY
