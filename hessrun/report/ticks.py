"""Tick labels in plain characters: they read the same in all formats, and no formula is parsed for each."""

import math

from matplotlib.axis import Axis
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
    SymmetricalLogLocator,
)

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FEW_DECADES = 1.5
_MANY_DECADES = 100


def power(value: float, _: object = None) -> str:
    """A power of ten as `10⁻³`, with its sign; 0.1, 1 and 10 as they are; nothing for any other number but 0."""
    if value == 0:
        return "0"
    exponent = math.log10(abs(value))
    if abs(exponent - round(exponent)) > 1e-6:
        return ""
    if abs(round(exponent)) <= 1:
        return f"{value:g}".replace("-", "−")
    return ("−" if value < 0 else "") + "10" + str(round(exponent)).translate(_RAISED)


def number(value: float, _: object = None) -> str:
    """A number with up to six digits and a real minus sign."""
    return f"{value:g}".replace("-", "−")


def tick_plainly(axis: Axis, limits: tuple[float, float]) -> None:
    """About five ticks for the axis's scale: powers of ten, 1-2-5 steps over few decades, else even steps."""
    low, high = limits
    scale = axis.get_scale()
    axis.set_minor_locator(NullLocator())  # some hundred ticks without a label take half the time of a figure
    if scale == "log":
        decades = math.log10(high) - math.log10(low)
        if decades < 0.5:
            _tick_evenly(axis)
        elif decades < _FEW_DECADES:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(number))
        elif decades > _MANY_DECADES:
            # LogLocator looks a step beyond the limits, which overflows near the end of float64.
            every = math.ceil(decades / 6)
            first, last = math.ceil(math.log10(low) / every), math.floor(math.log10(high) / every)
            axis.set_major_locator(FixedLocator([10.0 ** (every * i) for i in range(first, last + 1)]))
            axis.set_major_formatter(FuncFormatter(power))
        else:
            axis.set_major_locator(LogLocator(numticks=7))
            axis.set_major_formatter(FuncFormatter(power))
    elif scale == "symlog":
        locator = SymmetricalLogLocator(axis.get_transform())
        locator.set_params(numticks=9)
        if sum(low <= at <= high for at in locator.tick_values(low, high)) > 1:
            axis.set_major_locator(locator)
            axis.set_major_formatter(FuncFormatter(power))
        else:
            _tick_evenly(axis)
    else:
        _tick_evenly(axis)


def _tick_evenly(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(number))
