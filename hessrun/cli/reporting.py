"""`hessrun report [RUNS...] [--out DIR] [--write-up FILE.md]`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hessrun.cli.arguments import parse
from hessrun.cli.side_by_side import cores
from hessrun.cli.taken import runs_taken

_MANY_RUNS = 100


def report(arguments: Sequence[str]) -> int:
    """Write the report of runs; by default of one's own below outputs/, into outputs/report.

    --write-up: a Markdown file whose Results, Discussion and Conclusion are to be filled in, in a copy in the folder.
    """
    options, paths = parse(arguments, verb="report", options=("--out", "--write-up"))
    named = runs_taken(paths)
    from hessrun.report import build

    out = Path(options.get("--out", "outputs/report"))
    write_up = Path(options["--write-up"]) if "--write-up" in options else None
    written = build(named, out, write_up=write_up, progress=_progress, jobs=_jobs(named))
    for warning in written.warnings:
        print(f"hessrun: {warning}", file=sys.stderr)
    print(f"report  {written.html}")
    print(f"        {written.markdown}")
    if written.write_up is not None:
        print(f"        {written.write_up}")
    return 0


def _jobs(paths: Sequence[Path]) -> int:
    """A process for each core where there is much to read and draw; starting them takes a second or two."""
    from hessrun.record import find_runs

    return cores() if len(find_runs(paths)) >= _MANY_RUNS else 1


def _progress(items: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc="report", disable=not sys.stderr.isatty(), leave=False)
