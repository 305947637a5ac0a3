"""Spreads the reading of runs and the drawing of figures over processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeAlias

Spread: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@contextmanager
def spread_over(jobs: int) -> Iterator[Spread]:
    """A `map` of a module's function over items, in their order, by `jobs` processes; by this one where that is 1.

    The processes are spawned anew: a forked one would inherit the locks of threads that it does not have.
    """
    if jobs == 1:
        yield lambda function, items: map(function, items)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield lambda function, items: pool.map(function, items, chunksize=max(1, min(8, len(items) // (32 * jobs))))
