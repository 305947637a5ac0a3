"""The table that the benchmark prints, and the ratios in it."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_HEADINGS = ("what", "ours", "peer", "ratio", "bar", "holds")
_WIDTHS = (72, 26, 29, 7, 9, 5)


@dataclass(frozen=True)
class Row:
    """A line of the table. holds: whether the bar is met, None without one; is_left_out: nothing was measured."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    bar: str = ""
    holds: bool | None = None
    is_left_out: bool = False

    @classmethod
    def at_most(cls, what: str, ours: str, peer: str, ratio: float, limit: float) -> "Row":
        """ratio: ours / peer, at most `limit`."""
        return cls(what, ours, peer, times(ratio), f"<= {limit:g}x", ratio <= limit)

    @classmethod
    def at_least(cls, what: str, ours: str, peer: str, ratio: float, limit: float) -> "Row":
        """ratio: peer / ours, how many times faster ours is, at least `limit`."""
        return cls(what, ours, peer, times(ratio), f">= {limit:g}x", ratio >= limit)

    @classmethod
    def within(cls, what: str, found: float, limit: float) -> "Row":
        """found: an error of ours, at most `limit` in the same unit."""
        return cls(what, f"{found:.2g}", "", "", f"<= {limit:g}", found <= limit)

    @classmethod
    def count(cls, what: str, ours: int, peer: str, least: int, of: int) -> "Row":
        """ours: how many of `of` problems, at least `least`."""
        return cls(what, f"{ours} of {of}", peer, "", f">= {least}", ours >= least)

    @classmethod
    def not_measured(cls, what: str, why: str) -> "Row":
        """A row without figures, and why."""
        return cls(what, f"not measured: {why}", is_left_out=True)

    def __str__(self) -> str:
        verdict = {True: "yes", False: "NO", None: ""}[self.holds]
        return _line((self.what, self.ours, self.peer, self.ratio, self.bar, verdict))


def heading() -> str:
    """The two lines above the rows."""
    return _line(_HEADINGS) + "\n" + _line(["-" * width for width in _WIDTHS])


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def times(ratio: float) -> str:
    """A ratio to three digits."""
    return f"{ratio:.3g}x" if math.isfinite(ratio) else "-"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds to three digits."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 100 else f"{1e3 * seconds:.0f} ms"


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of pairs; a run of ours that did not arrive counts as infinite."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp(mean(log ratio)) of ratios above 0; NaN of none."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(statistics.fmean(logarithms)) if logarithms else math.nan


def ratios_where_both(ours: Mapping[str, int | None], theirs: Mapping[str, int | None]) -> list[float]:
    """Ours / theirs by problem, on the problems that both solve; None stands for unsolved."""
    both = [(ours[name], theirs[name]) for name in ours]
    return [a / b for a, b in both if a is not None and b is not None]
