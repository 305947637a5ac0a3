"""Builds the report of recorded runs into a folder, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hessrun.errors import RecordError
from hessrun.record.writer import to_json
from hessrun.report.careful import cautions
from hessrun.report.claims import claims_of
from hessrun.report.claims.claim import Claim
from hessrun.report.claims_table import claims_json
from hessrun.report.completion import texts
from hessrun.report.contents import contents
from hessrun.report.document import Section, markdown
from hessrun.report.groups import Group, grouped
from hessrun.report.looks import looks
from hessrun.report.page import html
from hessrun.report.reading import CACHE, read
from hessrun.report.summary import summary
from hessrun.report.write_up import WriteUp, filled, read_write_up

MARKER = "report.json"
REPORT_VERSION = 2
Progress = Callable[[Iterable[Any]], Iterable[Any]]
WRITE_UP = "write-up.md"
_OWN = frozenset({MARKER, "report.md", "report.html", "claims.json", WRITE_UP, "figures", "tables", CACHE})


@dataclass(frozen=True)
class ReportPaths:
    """Where a report stands, with the completed write-up if there is one, and a line for each thing that is missing."""

    html: Path
    markdown: Path
    figures: Path
    tables: Path
    warnings: list[str]
    write_up: Path | None = None


def build(
    runs: Sequence[Path], out: Path, *, write_up: Path | None = None, progress: Progress | None = None
) -> ReportPaths:
    """Write the report of all runs at or below `runs` into the folder `out`, replacing an earlier report there.

    write_up: a Markdown file with places for Results, Discussion and Conclusion; a copy with these filled in comes to
    stand beside report.md. progress: wraps the iterables of runs and of problems, for example tqdm. Rows that an
    earlier report there has read are not read again.
    Raises RecordError, with nothing written, where `runs` hold no readable row, `out` holds anything but a report, or
    the write-up has no place to fill.
    """
    out = Path(out).resolve()
    _refuse_foreign(out)
    to_complete = read_write_up(Path(write_up)) if write_up is not None else None
    shown: Progress = progress if progress is not None else iter
    found, cache, missing = read(runs, out / CACHE, shown)
    groups = grouped(found)
    if not groups:
        named = ", ".join(map(str, runs))
        detail = f" ({missing[0]})" if missing else ""
        raise RecordError(f"{named}: no run holds a readable row{detail}. Give a folder of runs that have started.")
    missing += cautions(groups, found)
    claims = claims_of(groups)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise RecordError(f"{out}: cannot be written ({error.strerror}); give another folder.") from None
    try:
        sections = _write(work, groups, claims, missing, shown)
        if to_complete is not None:
            missing += _complete(work / WRITE_UP, to_complete, groups, claims, sections)
        cache.write(work / CACHE)
        work.chmod(0o777 & ~_umask())
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ReportPaths(
        out / "report.html",
        out / "report.md",
        out / "figures",
        out / "tables",
        missing,
        out / WRITE_UP if to_complete is not None else None,
    )


def _complete(
    path: Path, write_up: WriteUp, groups: list[Group], claims: list[Claim], sections: list[Section]
) -> list[str]:
    """Write the completed write-up; a line for each text that it has no place for."""
    pictures = [illustration.picture for top in sections for s in top.all for illustration in s.illustrations]
    captions = {picture.name: picture.caption for picture in pictures}
    path.write_bytes(filled(write_up, texts(write_up, groups, claims, captions)))
    return [f"{write_up.path}: has no place for {name}; the rest is filled in." for name in write_up.lacking]


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


def _write(
    folder: Path, groups: list[Group], claims: list[Claim], missing: list[str], progress: Progress
) -> list[Section]:
    charts = [claim.chart for claim in claims if claim.chart is not None]
    style = looks(
        [
            *(entry.label for group in groups for entry in group.entries),
            *(s.entry for chart in charts for panel in chart.panels for s in panel.series if s.entry),
        ]
    )
    sections = contents(groups, claims, missing, style, progress)
    for name in ("figures", "tables"):
        (folder / name).mkdir()
    for section in (inner for top in sections for inner in top.all):
        for picture in (illustration.picture for illustration in section.illustrations):
            for kind, content in picture.files.items():
                (folder / "figures" / f"{picture.name}.{kind}").write_bytes(content)
        for table in section.tables:
            for kind, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
                (folder / "tables" / f"{table.name}.{kind}").write_text(text, encoding="utf-8")
    (folder / "report.md").write_text(markdown(sections), encoding="utf-8")
    (folder / "report.html").write_text(html(sections, style), encoding="utf-8")
    (folder / "claims.json").write_text(to_json(claims_json(claims), indent=2) + "\n", encoding="utf-8")
    (folder / MARKER).write_text(
        to_json(_numbers(groups, claims, sections, missing), indent=2) + "\n", encoding="utf-8"
    )
    return sections


def _numbers(groups: list[Group], claims: list[Claim], sections: list[Section], missing: list[str]) -> dict[str, Any]:
    """What report.json holds: the numbers, the claims, the prose, and what is missing."""
    return {
        "hessrun_report": REPORT_VERSION,
        "problems": [summary(group) for group in groups],
        "claims": claims_json(claims),
        "text": {s.title: s.paragraphs for top in sections for s in top.all if s.paragraphs},
        "missing": missing,
    }
