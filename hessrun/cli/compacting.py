"""`hessrun compact RUNS... --out DIR`: records small enough to be committed, which a report reads as any others."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hessrun.cli.arguments import parse
from hessrun.cli.winners import COST, WINNERS
from hessrun.errors import OptionError
from hessrun.record import Run, find_runs, read_run, read_runs
from hessrun.record.compact import KEPT, Compaction, compact, refuse_foreign, size
from hessrun.record.lock import is_held
from hessrun.record.reader import read_trace
from hessrun.record.rows import Rows
from hessrun.report.groups import grouped, is_tuning
from hessrun.report.needed import steps_needed

_USE = "hessrun compact RUNS... --out DIR [--rows N] [--spectra N] [--keep points,checkpoint,trials]"
_TRIALS = "trials"
_OPTIONS = ("--out", "--rows", "--spectra", "--keep")


def compacting(arguments: Sequence[str]) -> int:
    """Copy what a report needs of each run below RUNS into DIR, and say what it takes on disk.

    The trials of a search for settings are left out, unless asked for; what the search found and cost is copied.
    """
    options, paths = parse(arguments, verb="compact", options=_OPTIONS)
    if not paths or "--out" not in options:
        raise OptionError(f"it takes: {_USE}")
    kept = _kept(options.get("--keep", ""))
    plan = Compaction(
        rows=_whole(options, "--rows"),
        spectra=_whole(options, "--spectra"),
        keep=tuple(part for part in kept if part != _TRIALS),
    )
    out = Path(options["--out"]).resolve()
    if out.exists() and not out.is_dir():
        raise OptionError(f"--out {out}: is a file; give a folder.")
    places = _places([Path(path) for path in paths], out)
    runs, complaints = read_runs(sorted(places), rows=lambda trace: Rows.of(read_trace(trace)))
    complaints += [f"{run.path}: is being run now; left out." for run in runs if is_held(run.path)]
    trials = [] if _TRIALS in kept else [run for run in runs if is_tuning(run)]
    runs = [run for run in runs if not is_held(run.path) and all(run is not trial for trial in trials)]
    for complaint in complaints:
        print(f"hessrun: {complaint}", file=sys.stderr)
    for run in runs:
        refuse_foreign(run, places[run.path])
    before, after = _write(runs, places, plan)
    _copy_tuning(runs, places)
    left = f"; trials of tuning left out: {len(trials)}" if trials else ""
    what = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    print(f"{what}: {_megabytes(before)} before, {_megabytes(after)} in {out}{left}")
    return 1 if complaints else 0


def _whole(options: dict[str, str], name: str) -> int | None:
    if name not in options:
        return None
    try:
        return int(options[name])
    except ValueError:
        raise OptionError(f"{name}: a whole number, got {options[name]!r}.") from None


def _kept(words: str) -> list[str]:
    parts = [part for part in words.split(",") if part]
    for part in parts:
        if part not in (*KEPT, _TRIALS):
            raise OptionError(f"--keep: of {', '.join([*KEPT, _TRIALS])}, got {part!r}.")
    return parts


def _places(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each run goes: below `out` as it lies below the path that was given, a run itself under its own name."""
    places: dict[Path, Path] = {}
    for path in paths:
        for run in find_runs([path]):
            if run.resolve().is_relative_to(out):
                continue
            places[run] = out / (run.relative_to(path) if run != path else run.resolve().name)
    if not places:
        raise OptionError(f"--out {out}: holds all the runs that were named; give another folder.")
    taken: dict[Path, Path] = {}
    for run, place in places.items():
        first = taken.setdefault(place, run)
        if first.resolve() != run.resolve():
            raise OptionError(f"{first} and {run} would both become {place}; compact them one after the other.")
    return places


def _write(runs: Sequence[Run], places: dict[Path, Path], plan: Compaction) -> tuple[int, int]:
    """Bytes of all runs before and after. Whole rows are read of one run at a time: of all they would not fit."""
    needed = steps_needed(grouped(runs)) if plan.rows is not None else {}
    before = after = 0
    for run in runs:
        place = places[run.path]
        compact(read_run(run.path), place, plan, needed=needed.get(run.path, ()))
        before, after = before + size(run.path), after + size(place)
    return before, after


def _copy_tuning(runs: Sequence[Run], places: dict[Path, Path]) -> None:
    """The winners and the costs that `hessrun tune` left beside the runs."""
    for source, target in {run.path.parent: places[run.path].parent for run in runs}.items():
        for found in (source / "tuning" / name for name in (WINNERS, COST)):
            if found.is_file():
                (target / "tuning").mkdir(exist_ok=True)
                shutil.copyfile(found, target / "tuning" / found.name)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"
