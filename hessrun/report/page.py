"""The write-up as a document, and the document as Markdown and as one page of HTML."""

import re
from dataclasses import dataclass, field
from importlib.resources import files

from hessrun.report.draw import Picture
from hessrun.report.tables import Table

TITLE = "Training with Hessian methods: results"


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then figures, then tables."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def markdown(sections: list[Section]) -> str:
    """The document in Markdown; figures by their relative paths."""
    lines = [f"# {TITLE}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for paragraph in section.paragraphs:
            lines += [paragraph, ""]
        for picture in section.pictures:
            lines += [f"![{picture.caption}](figures/{picture.name}.svg)", "", f"*{picture.caption}*", ""]
        for table in section.tables:
            lines += [table.caption, "", table.markdown()]
    return "\n".join(lines).rstrip() + "\n"


def _inline(picture: Picture) -> str:
    """The figure's <svg>, its ids made unlike those of the page's other figures."""
    svg = picture.files["svg"].decode()
    svg = svg[svg.index("<svg") :]
    for pattern in (r'(\bid=")', r"(url\(#)", r'(href="#)'):
        svg = re.sub(pattern, rf"\g<1>{picture.name}-", svg)
    return svg


def html(sections: list[Section]) -> str:
    """The document as one page that fetches nothing."""
    import jinja2

    source = files("hessrun.report").joinpath("templates/page.html").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    shown = [
        {
            "title": s.title,
            "paragraphs": s.paragraphs,
            "figures": [{"caption": p.caption, "svg": _inline(p)} for p in s.pictures],
            "tables": s.tables,
        }
        for s in sections
    ]
    return template.render(title=TITLE, sections=shown)
