"""`hessrun report [RUNS...] [--out DIR]`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hessrun.cli.arguments import parse
from hessrun.errors import RecordError


def report(arguments: Sequence[str]) -> int:
    """Write the report of runs; by default of all below outputs/, into outputs/report."""
    options, paths = parse(arguments, verb="report", options=("--out",))
    if not paths and not Path("outputs").is_dir():
        raise RecordError("outputs: there is no such folder; run something first, or name the runs to report on.")
    from hessrun.report import build

    out = Path(options.get("--out", "outputs/report"))
    written = build([Path(path) for path in paths] or [Path("outputs")], out, progress=_progress)
    for warning in written.warnings:
        print(f"hessrun: {warning}", file=sys.stderr)
    print(f"report  {written.html}")
    print(f"        {written.markdown}")
    return 0


def _progress(items: Iterable[Any]) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, desc="report", disable=not sys.stderr.isatty(), leave=False)
