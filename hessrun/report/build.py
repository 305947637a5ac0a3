"""Builds the report of recorded runs into a folder, whole or not at all."""

from collections.abc import Sequence
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
from hessrun.report.folder import CACHE, MARKER, WRITE_UP, refuse_foreign, replacing
from hessrun.report.groups import Group, grouped
from hessrun.report.jobs import Spread, spread_over
from hessrun.report.page import html
from hessrun.report.pictures import Pictures
from hessrun.report.reading import Progress, read
from hessrun.report.summary import summary
from hessrun.report.write_up import WriteUp, filled, read_write_up

REPORT_VERSION = 2


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
    runs: Sequence[Path],
    out: Path,
    *,
    write_up: Path | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
) -> ReportPaths:
    """Write the report of all runs at or below `runs` into the folder `out`, replacing an earlier report there.

    write_up: a Markdown file with places for Results, Discussion and Conclusion; a copy with these filled in comes to
    stand beside report.md. progress: wraps the iterables of runs and of figures, for example tqdm. Rows that an
    earlier report there has read are not read again, nor are its figures of the same data drawn again. jobs:
    processes, 1 or above; they are spawned, so that a script that asks for more than one guards its start by
    `if __name__ == "__main__"`.
    Raises RecordError, with nothing written, where `runs` hold no readable row, `out` holds anything but a report, or
    the write-up has no place to fill.
    """
    out = Path(out).resolve()
    refuse_foreign(out)
    to_complete = read_write_up(Path(write_up)) if write_up is not None else None
    shown: Progress = progress if progress is not None else iter
    with spread_over(jobs) as spread:
        found, cache, missing = read(runs, out / CACHE, shown, spread)
        groups = grouped(found)
        if not groups:
            more = f" and {len(runs) - 3:,} more" if len(runs) > 3 else ""
            named = ", ".join(map(str, runs[:3])) + more
            detail = f" ({missing[0].rstrip('.')})" if missing else ""
            raise RecordError(f"{named}: no run holds a readable row{detail}. Give a folder of runs that have started.")
        missing += cautions(groups, found)
        claims = claims_of(groups)
        with replacing(out) as work:
            pictures = Pictures(out, CACHE)
            sections = _write(work, groups, claims, missing, pictures, shown, spread)
            if to_complete is not None:
                missing += _complete(work / WRITE_UP, to_complete, groups, claims, sections)
            cache.write(work / CACHE)
            pictures.write(work / CACHE)
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


def _write(
    folder: Path,
    groups: list[Group],
    claims: list[Claim],
    missing: list[str],
    pictures: Pictures,
    progress: Progress,
    spread: Spread,
) -> list[Section]:
    sections, style = contents(groups, claims, missing, pictures, progress, spread)
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
        "text": {top.title: {s.title: s.paragraphs for s in top.all if s.paragraphs} for top in sections},
        "missing": missing,
    }
