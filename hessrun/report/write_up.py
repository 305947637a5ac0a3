"""Puts the report's text into a copy of a write-up that has places for it: three sections and a broken-off sentence.

A place is a section, of a Markdown heading `Results`, `Discussion` or `Conclusion`, that holds `Results Placeholder`,
`TODO`, `TBD` or nothing; and a line that ends in `the limited-memory BFGS algorithm outperforms ... BFGS ... by`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hessrun.errors import RecordError

SECTIONS = ("Results", "Discussion", "Conclusion")
SENTENCE = "the sentence on L-BFGS"
_HEADING = re.compile(r"\ufeff?[ ]{0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*(?:\r?\n|\Z)")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")
_BROKEN_OFF = re.compile(
    r"\b(?:L-?BFGS|limited[- ]memory BFGS)\b[^\r\n]*\boutperform\w*\b[^\r\n]*\bBFGS\b[^\r\n]*\bby"
    r"(?P<gap>[ \t]*(?:\.{2,}|…|_+|TODO|TBD)?[ \t]*)(?=\r?\n|\Z)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """Characters start to end of the write-up are replaced; level: of the section's heading, 1 to 6.

    is_bare: a heading with nothing below it: blank lines are set around what comes there.
    """

    start: int
    end: int
    level: int = 1
    is_bare: bool = False


@dataclass(frozen=True)
class WriteUp:
    """A write-up as it was read, byte for byte, and its places by name (`SECTIONS`, `SENTENCE`)."""

    path: Path
    text: str
    places: Mapping[str, Place]

    @property
    def lacking(self) -> list[str]:
        """The names for which there is no place."""
        return [name for name in (*SECTIONS, SENTENCE) if name not in self.places]


def read_write_up(path: Path) -> WriteUp:
    """Read a write-up in Markdown. Raises RecordError where it cannot be read or has no place for any text."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); give a write-up in Markdown.") from None
    places = _sections(text)
    broken = _BROKEN_OFF.search(text)
    if broken is not None:
        places[SENTENCE] = Place(*broken.span("gap"))
    if not places:
        raise RecordError(
            f"{path}: has no place to fill; it takes a heading {', '.join(SECTIONS[:-1])} or {SECTIONS[-1]} over "
            "`Results Placeholder`, `TODO`, `TBD` or nothing."
        )
    return WriteUp(path, text, places)


def _sections(text: str) -> dict[str, Place]:
    """The first place of each of the three sections."""
    headings = _headings(text)
    found: dict[str, Place] = {}
    for index, (match, level) in enumerate(headings):
        name = _name(match[2])
        following = headings[index + 1] if index + 1 < len(headings) else None
        if name is None or name in found or (following is not None and following[1] > level):
            continue
        start, end = match.end(), following[0].start() if following is not None else len(text)
        body = text[start:end]
        held = body.strip()
        if not held:
            found[name] = Place(start, start, level, is_bare=True)
        elif _is_placeholder(held, match[2]):
            first = start + body.index(held)
            found[name] = Place(first, first + len(held), level)
    return found


def _headings(text: str) -> list[tuple[re.Match[str], int]]:
    """The headings outside of fenced code, and their levels."""
    found, fence = [], ""
    for line in re.finditer(r"[^\n]+", text):
        mark = _FENCE.match(line[0])
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        heading = _HEADING.match(text, line.start())
        if heading is not None and not fence:
            found.append((heading, len(heading[1])))
    return found


def _name(heading: str) -> str | None:
    """Which of the three a heading names, as `4. Results` or `**Conclusions**` do."""
    words = re.sub(r"^[\d.)\s]+", "", heading).strip("*_: \t").casefold()
    return next((name for name in SECTIONS if words.rstrip("s") == name.casefold().rstrip("s")), None)


def _is_placeholder(body: str, heading: str) -> bool:
    words = re.sub(r"^[\W_]+|[\W_]+$", "", body).casefold()
    own = re.sub(r"^[\W\d_]+|[\W_]+$", "", heading).casefold()
    if words in ("placeholder", f"{own} placeholder", "todo", "tbd", "to be done", "to be written", "coming soon"):
        return True
    return "\n" not in body and re.match(r"[\W_]*(?:TODO|TBD|FIXME)\b", body) is not None


def filled(write_up: WriteUp, texts: Mapping[str, str]) -> bytes:
    """The write-up with `texts` in its places, line ends as its own; all other bytes as they were."""
    line_end = "\r\n" if write_up.text.count("\r\n") * 2 > write_up.text.count("\n") else "\n"
    content = write_up.text
    for name, place in sorted(write_up.places.items(), key=lambda item: -item[1].start):
        text = texts[name].strip().replace("\n", line_end)
        if name == SENTENCE:
            gap = content[place.start : place.end]
            text = (gap if gap.isspace() else " ") + text
        elif place.is_bare:
            before = "" if content[: place.start].endswith("\n") else line_end
            after = line_end if place.start < len(content) else ""
            text = f"{before}{line_end}{text}{after}"
        content = content[: place.start] + text + content[place.end :]
    return content.encode("utf-8", "surrogateescape")
