"""The write-up as a document: sections of paragraphs, figures and tables; and the document as Markdown."""

from dataclasses import dataclass, field
from typing import Any

from hessrun.report.draw import Picture
from hessrun.report.tables import Table

TITLE = "Training with Hessian methods: results"


@dataclass(frozen=True)
class Illustration:
    """A figure as files, and as the page draws it (`interactive.interactive`), or None where it stays a picture."""

    picture: Picture
    live: dict[str, Any] | None = None


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then figures, then tables, then sections below it.

    spectra: what the page's slider moves through (`slider.slider`), or None.
    """

    title: str
    paragraphs: list[str] = field(default_factory=list)
    illustrations: list[Illustration] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    parts: list["Section"] = field(default_factory=list)
    spectra: dict[str, Any] | None = None

    @property
    def all(self) -> list["Section"]:
        """This section and all below it, in the order of the text."""
        return [self, *(inner for part in self.parts for inner in part.all)]


def markdown(sections: list[Section]) -> str:
    """The document in Markdown; figures by their relative paths."""
    lines = [f"# {TITLE}", ""]
    for section in sections:
        lines += _lines(section, 2)
    return "\n".join(lines).rstrip() + "\n"


def _lines(section: Section, level: int) -> list[str]:
    lines = [f"{'#' * level} {section.title}", ""]
    for paragraph in section.paragraphs:
        lines += [paragraph, ""]
    for picture in (illustration.picture for illustration in section.illustrations):
        lines += [f"![{picture.caption}](figures/{picture.name}.svg)", "", f"*{picture.caption}*", ""]
    for table in section.tables:
        lines += [table.caption, "", table.markdown()]
    for part in section.parts:
        lines += _lines(part, level + 1)
    return lines
