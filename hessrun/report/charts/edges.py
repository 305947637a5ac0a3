"""Amounts on a logarithmic axis of which some are never reached, or none at all: they are marked at its edges."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hessrun.report.chart import Series

_LEAST_MARGIN = 1.3
_MARGIN, _ROOM = 0.08, 0.3  # of the decades between the ends; the latter where notes stand at that edge


@dataclass(frozen=True)
class Mark:
    """A point at the height y: value from 0 to infinity, with its interval; note stands beside it at an edge."""

    y: float
    value: float
    interval: tuple[float, float] | None = None
    note: str = ""
    hover: str = ""


@dataclass(frozen=True)
class Edges:
    """The ends of the axis: `low` stands for 0 and `high` for infinity, both finite and above 0."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> "Edges":
        """Some way beyond the least and the greatest of the values that are finite and above 0."""
        every = list(values)
        held = [value for value in every if 0 < value < math.inf]
        least, greatest = min(held, default=1.0), max(held, default=1.0)
        below, above = (
            max(_LEAST_MARGIN, (greatest / least) ** (_ROOM if edge in every else _MARGIN)) for edge in (0, math.inf)
        )
        return cls(least / below, greatest * above)

    def held(self, value: float) -> float:
        """The value, or the edge that it lies beyond."""
        return min(max(value, self.low), self.high)

    def series(self, label: str, entry: str, marks: Sequence[Mark]) -> list[Series]:
        """The points of one entry between the edges, and those at each edge; the legend names the first alone."""
        inside = [mark for mark in marks if 0 < mark.value < math.inf]
        ends = [mark.interval or (mark.value, mark.value) for mark in inside]
        found = [
            Series(
                label,
                entry,
                np.array([mark.value for mark in inside]),
                np.array([mark.y for mark in inside]),
                low=np.array([self.held(low) for low, _ in ends]),
                high=np.array([self.held(high) for _, high in ends]),
                drawn="points",
                hover=tuple(mark.hover for mark in inside),
                across=True,
            )
        ]
        low, high = ([mark for mark in marks if mark.value == value] for value in (0, math.inf))
        if low:
            found.append(_at(self.low, low, entry, "left"))
        if high:
            found.append(_at(self.high, high, entry, "right"))
        return found


def _at(edge: float, marks: Sequence[Mark], entry: str, beyond: Literal["left", "right"]) -> Series:
    return Series(
        "",
        entry,
        np.full(len(marks), edge),
        np.array([mark.y for mark in marks]),
        drawn="points",
        hover=tuple(mark.hover for mark in marks),
        beyond=beyond,
        notes=tuple(mark.note for mark in marks),
    )


def dodged(count: int, width: float = 0.6) -> list[float]:
    """Offsets that set `count` points of one row apart, downwards, within +-width / 2."""
    return [0.0] if count == 1 else [float(offset) for offset in np.linspace(width / 2, -width / 2, count)]
