"""Times calls in turns, so that a machine whose speed drifts is as slow for one as for the other."""

import statistics
from collections.abc import Callable, Iterator, Mapping

from bench.setting import Setting

_ROUNDS = 3
# Of short calls there are more, an odd number up to this one, as long as all of them take fewer seconds than these.
_MOST_ROUNDS, _PATIENCE = 15, 6.0


def rounds(setting: Setting) -> Iterator[int]:
    """Numbers them: three, or, of short ones, more, up to 15 as long as all of them take fewer than 6 seconds."""
    began = setting.now()
    for turn in range(1 if setting.is_quick else _MOST_ROUNDS):
        if turn >= _ROUNDS and turn % 2 == 1 and setting.now() - began > _PATIENCE:
            break
        yield turn


def in_turns(
    setting: Setting,
    calls: Mapping[str, Callable[[], object]],
    *,
    least: float = 0.0,
    is_warm: bool = False,
) -> dict[str, float]:
    """Seconds of one call of each, the median of the rounds; in every round each has its turn, another one first.

    least: seconds that a turn lasts at least, by repeated calls, for calls too short for the clock.
    is_warm: each has been called before; otherwise one call of each comes first that does not count.
    """
    repeats = dict.fromkeys(calls, 1)
    for name, call in calls.items():
        if not is_warm:
            call()
        if least > 0:
            repeats[name] = max(1, round(least / max(_mean(setting, call, 1), 1e-9)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in rounds(setting):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(_mean(setting, calls[name], repeats[name]))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _mean(setting: Setting, call: Callable[[], object], count: int) -> float:
    start = setting.now()
    for _ in range(count):
        call()
    return (setting.now() - start) / count
