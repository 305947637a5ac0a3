"""The document as one page of HTML that fetches nothing: text, tables and figures stand in it without a script, too."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hessrun.report.document import TITLE, Illustration, Section
from hessrun.report.draw import Picture
from hessrun.report.looks import Look

_SCRIPTS = ("elements.js", "figures.js", "spectra.js", "tables.js", "start.js")
_STATIC_BYTES = 2_500_000  # of pictures within the page; a page is to stay below 15 MB, 5 of which are plotly's script

_BEYOND_A_HUNDREDTH = re.compile(r"(?<=\.\d\d)\d+")


def html(sections: list[Section], looks: Mapping[str, Look]) -> str:
    """The page; `looks` are those of the optimizers, for the switches that show and hide them."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    every = [section for top in sections for section in top.all]
    figures = [figure for section in every for figure in section.illustrations]
    live = [figure.live for figure in figures if figure.live is not None]
    spectra = [section.spectra for section in every if section.spectra is not None]
    entries = [
        {"label": label, "colour": look.colour, "dash": look.dash, "marker": look.marker}
        for label, look in looks.items()
    ]
    template = environment.from_string(_template("page.html"))
    return template.render(
        title=TITLE,
        sections=sections,
        static=_static(figures),
        entries=entries,
        style=_template("report.css"),
        script="\n".join(map(_template, _SCRIPTS)),
        plotly=get_plotlyjs() if live or spectra else "",
        data=_json({"charts": {chart["name"]: chart for chart in live}, "spectra": spectra, "entries": entries}),
    )


def _template(name: str) -> str:
    return files("hessrun.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _json(content: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _static(figures: list[Illustration]) -> dict[str, str]:
    """The first figures' <svg> by name, as far as the page has room for them."""
    found: dict[str, str] = {}
    left = _STATIC_BYTES
    for figure in figures:
        svg = _inline(figure.picture)
        if len(svg) > left:
            break
        found[figure.picture.name] = svg
        left -= len(svg)
    return found


def _inline(picture: Picture) -> str:
    """The figure's <svg>: ids unlike those of the page's other figures, paths to a hundredth of a point."""
    svg = picture.files["svg"].decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' d="[^"]*"', lambda path: _BEYOND_A_HUNDREDTH.sub("", path[0]), svg)
    for pattern in (r'(\bid=")', r"(url\(#)", r'(href="#)'):
        svg = re.sub(pattern, rf"\g<1>{picture.name}-", svg)
    return svg
