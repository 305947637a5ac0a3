"""A compact record: what a report needs of a run, small enough to be committed, and read as any other record."""

import gzip
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hessrun.errors import OptionError, RecordError
from hessrun.record import schema
from hessrun.record.reader import Run, read_run
from hessrun.record.writer import to_json, write_atomically

_ENDS = 10  # rows kept whole at the start and at the end: an order of convergence is seen on consecutive steps
KEPT = {"points": (schema.POINTS,), "checkpoint": (schema.CHECKPOINT, schema.CHECKPOINT_PREVIOUS)}


@dataclass(frozen=True)
class Compaction:
    """What a compact record keeps beside the configuration, the manifest and the status.

    rows: at most how many rows, spaced evenly in the logarithm of their number, beside the first and last ten and those
    that are needed, >= 2; None keeps all. spectra: how many, the first and the last among them, >= 2; None keeps all.
    keep: of `points` and `checkpoint`, which both are left out otherwise.
    """

    rows: int | None = None
    spectra: int | None = None
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("rows", self.rows), ("spectra", self.spectra)):
            if value is not None and value < 2:
                raise OptionError(f"{name}: at least 2, the first and the last, got {value}.")
        for name in self.keep:
            if name not in KEPT:
                raise OptionError(f"keep: of {', '.join(KEPT)}, got {name!r}.")


def spaced(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the indices 0 .. count - 1, spaced evenly in log(index + 1), the first and the last in it."""
    if count <= wanted:
        return list(range(count))
    return sorted({int(index) - 1 for index in np.geomspace(1, count, wanted).round()})


def thinned(steps: Sequence[int], rows: int | None, needed: Collection[int]) -> list[int]:
    """The indices of the rows to keep: of the first and last ten, those at `needed` steps, and `rows` between them."""
    every = range(len(steps))
    if rows is None or len(steps) <= rows:
        return list(every)
    ends = {*every[:_ENDS], *every[-_ENDS:]}
    asked = {index for index in every if steps[index] in needed}
    return sorted(ends | asked | set(spaced(len(steps), rows)))


def refuse_foreign(run: Run, out: Path) -> None:
    """Raises RecordError where `out` holds anything but an earlier compact record of this run."""
    if not out.exists() and not out.is_symlink():
        return
    advice = "move it away, or give another --out."
    try:
        found = read_run(out, rows=lambda _: ())
    except RecordError:
        raise RecordError(f"{out}: exists and is no compact record; {advice}") from None
    if out.is_symlink() or "compact" not in found.manifest:
        raise RecordError(f"{out}: exists and is no compact record; {advice}")
    if found.manifest.get("run_id") != run.manifest.get("run_id"):
        raise RecordError(f"{out}: holds another run, {found.manifest.get('run_id')}; {advice}")


def compact(run: Run, out: Path, plan: Compaction, *, needed: Collection[int] = ()) -> None:
    """Write the compact record of a run to the folder `out`, whole or not at all, in place of an earlier one.

    needed: steps whose rows are kept however few are, for example where a target was reached.
    The manifest gains `rows_thinned`, whether rows are missing, and `compact`, how many rows and spectra there were.
    Raises RecordError where `out` holds anything but an earlier compact record of this run.
    """
    refuse_foreign(run, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(run, work, plan, needed)
        work.chmod(out.parent.stat().st_mode & 0o777)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(run: Run, folder: Path, plan: Compaction, needed: Collection[int]) -> None:
    spectra = sorted((run.path / schema.SPECTRA).glob("*.npz"))
    seen = {int(path.stem) for path in spectra if path.stem.isdecimal()}
    kept = thinned([int(row["step"]) for row in run.trace], plan.rows, {*needed, *seen})
    counts = {"rows": len(run.trace), "spectra": len(spectra)} | run.manifest.get("compact", {})
    facts = {"rows_thinned": len(kept) < counts["rows"], "compact": counts}
    write_atomically(folder / schema.MANIFEST, to_json(run.manifest | facts, indent=2) + "\n")
    rows = "".join(to_json(run.trace[index]) + "\n" for index in kept)
    # No time within: the same rows give the same bytes.
    (folder / schema.TRACE_PACKED).write_bytes(gzip.compress(rows.encode(), 9, mtime=0))
    for name in (schema.CONFIG, schema.STATUS):
        if (run.path / name).exists():
            shutil.copyfile(run.path / name, folder / name)
    # Every spectrum was seen at a step of its own, so that evenly in the logarithm would keep the early ones alone.
    wanted = range(len(spectra)) if plan.spectra is None else np.linspace(0, len(spectra) - 1, plan.spectra).round()
    chosen = [spectra[index] for index in sorted({int(index) for index in wanted})] if spectra else []
    for path in chosen:
        _copy(path, folder / schema.SPECTRA / path.name)
    for name in (name for part in plan.keep for name in KEPT[part]):
        found = run.path / name
        for path in sorted(found.glob("*.npz")) if found.is_dir() else [found] if found.exists() else []:
            _copy(path, folder / path.relative_to(run.path))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)


def size(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
