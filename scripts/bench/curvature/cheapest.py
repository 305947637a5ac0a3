"""The cheapest setting of a peer that reaches what is asked for."""

from collections.abc import Callable, Sequence


def cheapest(settings: Sequence[float], reaches: Callable[[float], bool]) -> float | None:
    """The first of the settings, cheapest first, that reaches it; None where none does.

    One after the other is tried in growing strides, then the gap before the first success is halved: a setting is
    taken to reach it wherever a cheaper one does.
    """
    below, stride = -1, 1
    while True:
        index = min(below + stride, len(settings) - 1)
        if reaches(settings[index]):
            break
        if index == len(settings) - 1:
            return None
        below, stride = index, 2 * stride
    while index - below > 1:
        middle = (below + index) // 2
        if reaches(settings[middle]):
            index = middle
        else:
            below = middle
    return settings[index]
