"""The settings of a method that tuning chooses, and from where: `search_space` in its YAML or in a suite's cell.

search_space:
  lr: {low: 1.0e-4, high: 1.0, log: true}     a number, uniform in its logarithm; without `log`, uniform
  memory: {low: 5, high: 50}                  a whole number, where both ends are
  momentum: {choices: [0.0, 0.9]}             one of a few
  parts.0.lr: {low: 1.0e-3, high: 0.1}        a key within the method's YAML: the first of its parts
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hessrun.errors import OptionError
from hessrun.options import nearest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = float | int | str | bool | None

_DIGITS = 4


@dataclass(frozen=True)
class Interval:
    """low and high are in it. is_whole: of whole numbers; log: uniform in the logarithm."""

    low: float
    high: float
    log: bool
    is_whole: bool

    def __contains__(self, value: Value) -> bool:
        is_number = isinstance(value, int if self.is_whole else int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high  # type: ignore[operator]

    def rounded(self, value: Value) -> Value:
        """The value to four digits, within the interval: what a person would type."""
        if self.is_whole or not isinstance(value, float):
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choices:
    """One of a few values."""

    values: tuple[Value, ...]

    def __contains__(self, value: Value) -> bool:
        return value in self.values

    def rounded(self, value: Value) -> Value:
        """The value itself."""
        return value

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


Range = Interval | Choices
SearchSpace = dict[str, Range]


def parse_space(node: object, where: str) -> SearchSpace:
    """The space of a YAML's `search_space`; an entry that is null is left out.

    Raises OptionError, one line that begins with `where`, for whatever is wrong with it.
    """
    if node is None:
        return {}
    if not isinstance(node, Mapping) or not all(isinstance(key, str) for key in node):
        raise OptionError(f"{where}: must be a mapping such as {{lr: {{low: 1e-4, high: 1.0}}}}; got {node!r}.")
    return {key: _range(entry, f"{where}.{key}") for key, entry in node.items() if entry is not None}


def _range(entry: object, where: str) -> Range:
    forms = "{low: 1e-4, high: 1.0, log: true} or {choices: [0.0, 0.9]}"
    if not isinstance(entry, Mapping):
        raise OptionError(f"{where}: must be {forms}; got {entry!r}.")
    known = ("choices",) if "choices" in entry else ("low", "high", "log")
    for key in entry:
        if key not in known:
            raise OptionError(f"{where}: '{key}' has no place there; it is {forms}.{nearest(str(key), known)}")
    if "choices" in entry:
        return _choices(entry["choices"], where)
    return _interval(entry, where)


def _choices(values: object, where: str) -> Choices:
    if not isinstance(values, list) or not values:
        raise OptionError(f"{where}.choices: must be a list of at least one value; got {values!r}.")
    for value in values:
        if not isinstance(value, Value) or (isinstance(value, float) and not math.isfinite(value)):
            raise OptionError(f"{where}.choices: must be finite numbers, words, true, false or null; got {value!r}.")
    if len(set(values)) < len(values):
        raise OptionError(f"{where}.choices: names a value twice: {values!r}.")
    return Choices(tuple(values))


def _interval(entry: Mapping[Any, Any], where: str) -> Interval:
    for key in ("low", "high"):
        value = entry.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise OptionError(f"{where}.{key}={value!r}: must be a finite number.")
    low, high, log = entry["low"], entry["high"], entry.get("log", False)
    if not isinstance(log, bool):
        raise OptionError(f"{where}.log={log!r}: must be true or false.")
    if not low < high:
        raise OptionError(f"{where}: low={low} must be below high={high}.")
    if log and low <= 0:
        raise OptionError(f"{where}: low={low} must be above 0 where log is true.")
    is_whole = isinstance(low, int) and isinstance(high, int)
    return Interval(low if is_whole else float(low), high if is_whole else float(high), log, is_whole)


def combinations(space: SearchSpace) -> list[dict[str, Value]] | None:
    """All settings of a space that has choices alone; None for one that has an interval."""
    lists: list[tuple[Value, ...]] = []
    for found in space.values():
        if isinstance(found, Interval):
            return None
        lists.append(found.values)
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]
