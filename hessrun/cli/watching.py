"""`hessrun status --watch`: the table again and again, until nothing runs."""

import sys
import time
from collections.abc import Callable, Sequence

from hessrun.cli.outcomes import JobOutcome
from hessrun.cli.summary import print_table
from hessrun.errors import OptionError

_SECONDS = 2.0
# Clears the screen and goes to its first line (ECMA-48).
_CLEAR = "\x1b[2J\x1b[H"


def split(arguments: Sequence[str]) -> tuple[float | None, list[str]]:
    """The seconds from look to look, None without --watch, and the words that are left."""
    words = list(arguments)
    place = next((i for i, word in enumerate(words) if word.partition("=")[0] == "--watch"), None)
    if place is None:
        return None, words
    _, equals, value = words.pop(place).partition("=")
    if not equals and place < len(words) and words[place].replace(".", "", 1).isdecimal():
        value = words.pop(place)
    elif not equals:
        return _SECONDS, words
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise OptionError(f"hessrun status --watch={value}: must be a number of seconds above 0.")
    return seconds, words


def watch(look: Callable[[], Sequence[JobOutcome]], seconds: float) -> Sequence[JobOutcome]:
    """Print what is seen every so many seconds while something runs, and what was seen last.

    Once where standard output is no terminal; Ctrl-C ends it.
    """
    while True:
        outcomes = look()
        if sys.stdout.isatty():
            print(_CLEAR, end="")
        print_table(outcomes)
        if not sys.stdout.isatty() or all(outcome.state != "running" for outcome in outcomes):
            return outcomes
        print(f"again every {seconds:g} s; Ctrl-C ends this, not the runs", flush=True)
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            return outcomes
