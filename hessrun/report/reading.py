"""Reads the runs of a report once: their rows as columns, which the next report finds beside this one."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hessrun.errors import RecordError
from hessrun.record import Run, find_runs, read_run
from hessrun.report.cache import Cache
from hessrun.report.careful import standing

CACHE = ".cache"


def read(
    paths: Sequence[Path], cache: Path, progress: Callable[[Iterable[Any]], Iterable[Any]]
) -> tuple[list[Run], Cache, list[str]]:
    """The runs at or below `paths`, what was read of them, and one line for each that is damaged, unfinished or empty.

    cache: the folder of an earlier report's reading, which need not exist; `progress` wraps the iterable of folders.
    """
    earlier, now = Cache.read(cache), Cache()
    runs, missing = [], []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for folder in progress(find_runs(paths)):
            try:
                run = read_run(folder, rows=lambda path: now.rows(path, earlier))
            except RecordError as error:
                missing.append(str(error))
                continue
            _ = run.spectra  # read here, where what is damaged among them is told
            runs.append(run)
    missing += [str(w.message) for w in caught]
    missing += [line for run in runs if (line := standing(run)) is not None]
    return runs, now, missing
