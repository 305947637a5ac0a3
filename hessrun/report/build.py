"""Builds the report of recorded runs into a folder, whole or not at all."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hessrun.errors import RecordError
from hessrun.record import Run, find_runs, read_runs
from hessrun.record.writer import to_json
from hessrun.report import tables
from hessrun.report.draw import Picture, draw
from hessrun.report.figures import figures
from hessrun.report.groups import Group, grouped
from hessrun.report.looks import Look, looks
from hessrun.report.page import Section, html, markdown
from hessrun.report.prose import conclusion, discussion, setting
from hessrun.report.spectra_figures import density_maps, spectra_charts
from hessrun.report.summary import summary

MARKER = "report.json"
REPORT_VERSION = 1
_OWN = frozenset({MARKER, "report.md", "report.html", "figures", "tables"})


@dataclass(frozen=True)
class ReportPaths:
    """Where a report stands, and one line for each thing that is missing from it."""

    html: Path
    markdown: Path
    figures: Path
    tables: Path
    warnings: list[str]


def build(
    runs: Sequence[Path], out: Path, *, progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None
) -> ReportPaths:
    """Write the report of all runs at or below `runs` into the folder `out`, replacing an earlier report there.

    progress: wraps the iterable of problems, for example tqdm.
    Raises RecordError, with nothing written, where `runs` hold no readable row or `out` holds anything but a report.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    found, missing = _read(runs)
    groups = grouped(found)
    if not groups:
        named = ", ".join(map(str, runs))
        detail = f" ({missing[0]})" if missing else ""
        raise RecordError(f"{named}: no run holds a readable row{detail}. Give a folder of runs that have started.")
    missing += [line for group in groups for line in group.repeated]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise RecordError(f"{out}: cannot be written ({error.strerror}); give another folder.") from None
    try:
        _write(work, _sections(groups, missing, progress), groups, missing)
        work.chmod(0o777 & ~_umask())
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ReportPaths(out / "report.html", out / "report.md", out / "figures", out / "tables", missing)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise RecordError(f"{out}: is a file; give a folder for the report.")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        content = json.loads((out / MARKER).read_text(encoding="utf-8"))
        ours = isinstance(content, dict) and "hessrun_report" in content
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise RecordError(f"{out}: is not empty and holds no earlier report; give another folder or empty it.")
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _OWN)
    if foreign:
        raise RecordError(f"{out}: holds {foreign[0]} beside an earlier report; move it or give another folder.")


def _read(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs, and one line for each that is damaged, unfinished or empty; spectra are read here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs, missing = read_runs(find_runs(paths))
        for run in runs:
            _ = run.spectra
    missing += [str(w.message) for w in caught]
    for run in runs:
        if not run.trace:
            missing.append(f"{run.path.name}: no rows yet; left out.")
        elif not run.status:
            missing.append(f"{run.path.name}: no status.json; its {len(run.trace)} rows are shown.")
        elif run.state != "finished":
            missing.append(f"{run.path.name}: {run.state} ({run.status.get('reason', 'no reason recorded')})")
    return runs, missing


def _sections(
    groups: list[Group], missing: list[str], progress: Callable[[Iterable[Any]], Iterable[Any]] | None
) -> list[Section]:
    results, texts, answers = [], [], []
    style = looks(entry.label for group in groups for entry in group.entries)
    numbered = list(enumerate(groups, start=1))
    for index, group in progress(numbered) if progress else numbered:
        prefix = f"problem{index}"
        made = [
            tables.results(group, f"{prefix}-results"),
            tables.costs(group, f"{prefix}-costs"),
            tables.targets(group, f"{prefix}-targets"),
            tables.spectra(group, f"{prefix}-spectra"),
            tables.runs(group, f"{prefix}-runs"),
        ]
        kept = [table for table in made if table is not None]
        pictures = _pictures(group, prefix, style)
        results.append(Section(f"Results: {group.title}", [setting(group)], pictures, kept))
        texts.append(Section(f"Discussion: {group.title}", discussion(group)))
        answers.append(Section(f"Conclusion: {group.title}", conclusion(group)))
    sections = [*results, *texts, *answers]
    lacking = list(missing)
    if len(groups) > 1:
        lacking.append(f"The runs belong to {len(groups)} problems, which are reported apart.")
    lacking += [f"{g.title}: no spectrum was recorded." for g in groups if not any(r.spectra for r in g.runs)]
    return [*sections, Section("What is missing", lacking)] if lacking else sections


def _pictures(group: Group, prefix: str, style: Mapping[str, Look]) -> list[Picture]:
    charts = [*figures(group, prefix), *spectra_charts(group, prefix)]
    return [*(draw(chart, style) for chart in charts), *density_maps(group, prefix)]


def _numbers(groups: list[Group], sections: list[Section], missing: list[str]) -> dict[str, Any]:
    """What report.json holds: the numbers, the prose, and what is missing."""
    return {
        "hessrun_report": REPORT_VERSION,
        "problems": [summary(group) for group in groups],
        "text": {s.title: s.paragraphs for s in sections},
        "missing": missing,
    }


def _write(folder: Path, sections: list[Section], groups: list[Group], missing: list[str]) -> None:
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    for section in sections:
        for picture in section.pictures:
            for kind, content in picture.files.items():
                (folder / "figures" / f"{picture.name}.{kind}").write_bytes(content)
        for table in section.tables:
            for kind, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
                (folder / "tables" / f"{table.name}.{kind}").write_text(text, encoding="utf-8")
    (folder / "report.md").write_text(markdown(sections), encoding="utf-8")
    (folder / "report.html").write_text(html(sections), encoding="utf-8")
    (folder / MARKER).write_text(to_json(_numbers(groups, sections, missing), indent=2) + "\n", encoding="utf-8")
