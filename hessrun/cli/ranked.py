"""The command as one of several processes of a launcher such as torchrun: one speaks, all end together."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from hessrun import ranks
from hessrun.errors import HessrunError

# What is worth the processors of all of them; the other verbs read and write files.
_VERBS = ("suite", "spectrum")
_HEAD_START = 1.0


def run_as_a_rank(here: ranks.Place, run: Callable[[], int]) -> int:
    """Run the command; the exit code. On other ranks than the first it says nothing."""
    try:
        with contextlib.ExitStack() as silence:
            if here.rank > 0:
                nowhere = silence.enter_context(open(os.devnull, "w", encoding="utf-8"))
                silence.enter_context(contextlib.redirect_stdout(nowhere))
                silence.enter_context(contextlib.redirect_stderr(nowhere))
            code = run()
        if code != 0 and here.rank > 0 and ranks.size() == 1:
            # They had not joined yet, and a launcher ends them all where one ends so: the first rank speaks first.
            time.sleep(_HEAD_START)
        return code
    except BaseException as error:
        ranks.leave(type(error).__name__)
        raise
    finally:
        ranks.stop()


def refuse_for_ranks(words: Sequence[str]) -> None:
    """Raise HessrunError for a verb that several processes would do several times."""
    if ranks.place().size > 1 and words and words[0].isidentifier() and words[0] not in _VERBS:
        raise HessrunError(f"hessrun {words[0]} is for one process: give the command without torchrun.")
