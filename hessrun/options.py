"""Legal ranges of options: each check names the option, what is allowed and what was got.

    >>> positive("lr", -1.0)
    Traceback (most recent call last):
    ...
    hessrun.errors.OptionError: lr=-1.0: must be a finite number above 0

A number that a configuration left empty arrives as '' and is refused like any other wrong value.
"""

import difflib
import math
from collections.abc import Iterable, Sequence

from hessrun.errors import OptionError


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, value: object, allowed: str) -> OptionError:
    return OptionError(f"{name}={value!r}: must be {allowed}")


def positive(name: str, value: object) -> None:
    """A finite number above 0."""
    if not (_is_number(value) and value > 0):  # type: ignore[operator]
        raise _refuse(name, value, "a finite number above 0")


def finite(name: str, value: object) -> None:
    """A finite number."""
    if not _is_number(value):
        raise _refuse(name, value, "a finite number")


def non_negative(name: str, value: object) -> None:
    """A finite number, 0 or above."""
    if not (_is_number(value) and value >= 0):  # type: ignore[operator]
        raise _refuse(name, value, "a finite number, 0 or above")


def between(name: str, value: object, low: float, high: float) -> None:
    """A number strictly between `low` and `high`."""
    if not (_is_number(value) and low < value < high):  # type: ignore[operator]
        raise _refuse(name, value, f"a number above {low:g} and below {high:g}")


def fraction(name: str, value: object) -> None:
    """A number from 0 up to, but not including, 1."""
    if not (_is_number(value) and 0 <= value < 1):  # type: ignore[operator]
        raise _refuse(name, value, "a number from 0 up to, but not including, 1")


def integer(name: str, value: object, *, minimum: int) -> None:
    """A whole number from `minimum` up."""
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= minimum):
        raise _refuse(name, value, f"a whole number, {minimum} or above")


def boolean(name: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise _refuse(name, value, "true or false")


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"`, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """One of a few words; the message names the nearest and lists all."""
    if value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else ""
        raise OptionError(f"{name}={value!r}: must be one of {', '.join(allowed)}.{hint}")
