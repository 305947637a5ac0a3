"""Reads the runs of a report once: their rows as columns, which the next report finds beside this one."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hessrun.errors import RecordError
from hessrun.record import Run, find_runs, read_run
from hessrun.record.reader import read_trace, trace_file
from hessrun.record.rows import Rows
from hessrun.report.cache import Cache
from hessrun.report.careful import standing
from hessrun.report.jobs import Spread

Progress = Callable[[Iterable[Any]], Iterable[Any]]


def read(
    paths: Sequence[Path], cache: Path, progress: Progress, spread: Spread = map
) -> tuple[list[Run], Cache, list[str]]:
    """The runs at or below `paths`, what was read of them, and one line for each that is damaged, unfinished or empty.

    cache: the folder of an earlier report's reading, which need not exist; `progress` wraps the iterable of folders.
    """
    earlier, now = Cache.read(cache), Cache()
    folders = find_runs(paths)
    known = {folder: rows for folder in folders if (rows := earlier.find(trace_file(folder))) is not None}
    unknown = [folder for folder in folders if folder not in known]
    runs, missing = [], []
    found = {folder: _read(folder, known[folder]) for folder in known}
    found |= dict(zip(progress(unknown), spread(partial(_read, rows=None), unknown), strict=True))
    for folder in folders:
        run, told = found[folder]
        missing += told
        if run is not None:
            runs.append(run)
            if isinstance(run.trace, Rows):
                now.keep(trace_file(folder), run.trace)
    missing += [line for run in runs if (line := standing(run)) is not None]
    return runs, now, missing


def _read(folder: Path, rows: Rows | None) -> tuple[Run | None, list[str]]:
    """The run, its rows as columns and its spectra read, or None; and a line for each thing that is damaged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = read_run(folder, rows=(lambda _: rows) if rows is not None else _columns)
        except RecordError as error:
            return None, [str(error)]
        _ = run.spectra
    return run, [str(w.message) for w in caught]


def _columns(trace: Path) -> Rows:
    return Rows.of(read_trace(trace))
