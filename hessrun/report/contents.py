"""The report's sections from its problems and claims: Results, Discussion, Conclusion, and what is missing."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hessrun.report import article, prose, tables
from hessrun.report.chart import Chart
from hessrun.report.charts import charts_of, charts_over
from hessrun.report.claims.claim import Claim
from hessrun.report.claims_table import claims_table
from hessrun.report.density_map import density_maps, draw_map
from hessrun.report.document import Illustration, Section
from hessrun.report.draw import Picture, draw
from hessrun.report.figures import figures
from hessrun.report.groups import Group
from hessrun.report.interactive import interactive, points_a_series
from hessrun.report.jobs import Spread
from hessrun.report.looks import Look
from hessrun.report.looks import looks as looks_of
from hessrun.report.pictures import Drawing, Pictures
from hessrun.report.reading import Progress
from hessrun.report.runs_table import runs_table
from hessrun.report.series import is_a_comparison, told_alone
from hessrun.report.slider import points_a_spectrum, slider
from hessrun.report.spectra_figures import spectra_charts


def contents(
    groups: Sequence[Group],
    claims: Sequence[Claim],
    missing: list[str],
    pictures: Pictures,
    progress: Progress = iter,
    spread: Spread = map,
) -> tuple[list[Section], dict[str, Look]]:
    """The sections, and the looks of the optimizers in all of them.

    missing: a line for each caution; pictures: those that need no drawing; progress: wraps the iterable of figures;
    spread: a `map` that draws them.
    """
    overall: list[Drawing] = [*charts_over(groups)]
    tested = _of_claims(claims)
    own = [_drawings(group, f"problem{index}") for index, group in enumerate(groups, start=1)]
    every = [*overall, *tested, *(drawing for drawings in own for drawing in drawings)]
    looks = looks_of(_labels(groups, every))
    draw_all = partial(spread, partial(_picture, looks=looks))
    drawn = zip(progress(every), pictures.drawn(every, looks, draw_all), strict=True)
    points = points_a_series([drawing for drawing in every if isinstance(drawing, Chart)])
    shown = {drawing.name: _illustration(drawing, picture, looks, points) for drawing, picture in drawn}
    eigenvalues = points_a_spectrum(groups)

    def illustrated(drawings: Sequence[Drawing]) -> list[Illustration]:
        return [shown[drawing.name] for drawing in drawings]

    results = [
        *([Section("All problems", [], illustrated(overall))] if overall else []),
        Section("The write-up's assertions", tables=[claims_table(claims)]),
        *([Section("Figures of the assertions", [], illustrated(tested))] if tested else []),
        *(
            _problem(group, f"problem{index}", illustrated(drawings), slider(group, points=eigenvalues))
            for index, (group, drawings) in enumerate(zip(groups, own, strict=True), start=1)
        ),
        Section("All runs", tables=[runs_table(groups)]),
    ]
    discussed = [group for group in told_alone(groups) if is_a_comparison(group)] or groups
    sections = [
        Section("Results", article.results(groups, claims), parts=results),
        Section(
            "Discussion",
            article.discussion(groups, claims),
            parts=[Section(group.title, prose.discussion(group)) for group in discussed],
        ),
        Section(
            "Conclusion",
            article.conclusion(groups, claims),
            parts=[Section(group.title, prose.conclusion(group)) for group in discussed],
        ),
    ]
    careful = [Section("What is missing, and what to be careful with", missing)] if missing else []
    return [*sections, *careful], looks


def _of_claims(claims: Sequence[Claim]) -> list[Drawing]:
    """Their own figures, each once: of those of one name the first."""
    found: dict[str, Drawing] = {}
    for claim in claims:
        if claim.chart is not None:
            found.setdefault(claim.chart.name, claim.chart)
    return list(found.values())


def _labels(groups: Sequence[Group], drawings: Sequence[Drawing]) -> list[str]:
    """What a look is needed for: the entries of the problems, then others that a chart speaks of."""
    panels = [panel for drawing in drawings if isinstance(drawing, Chart) for panel in drawing.panels]
    named = [series.entry for panel in panels for series in panel.series if series.entry]
    return [*(entry.label for group in groups for entry in group.entries), *named]


def _drawings(group: Group, prefix: str) -> list[Drawing]:
    return [
        *figures(group, prefix),
        *charts_of(group, prefix),
        *spectra_charts(group, prefix),
        *density_maps(group, prefix),
    ]


def _picture(drawing: Drawing, looks: Mapping[str, Look]) -> Picture:
    return draw(drawing, looks) if isinstance(drawing, Chart) else draw_map(drawing)


def _illustration(drawing: Drawing, picture: Picture, looks: Mapping[str, Look], points: int) -> Illustration:
    return Illustration(picture, interactive(drawing, looks, points=points) if isinstance(drawing, Chart) else None)


def _problem(group: Group, prefix: str, illustrations: list[Illustration], spectra: dict[str, Any] | None) -> Section:
    made = [
        tables.results(group, f"{prefix}-results"),
        tables.costs(group, f"{prefix}-costs"),
        tables.targets(group, f"{prefix}-targets"),
        tables.spectra(group, f"{prefix}-spectra"),
    ]
    return Section(
        group.title,
        [prose.setting(group)],
        illustrations,
        [table for table in made if table is not None],
        spectra=spectra,
    )
