"""The report's sections from its problems and claims: Results, Discussion, Conclusion, and what is missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hessrun.report import tables
from hessrun.report.chart import Chart
from hessrun.report.charts import charts_of, charts_over
from hessrun.report.claims.claim import Claim
from hessrun.report.claims_table import claims_table
from hessrun.report.document import Illustration, Section
from hessrun.report.draw import draw
from hessrun.report.figures import figures
from hessrun.report.groups import Group
from hessrun.report.interactive import interactive
from hessrun.report.looks import Look
from hessrun.report.prose import conclusion, discussion, setting
from hessrun.report.runs_table import runs_table
from hessrun.report.slider import slider
from hessrun.report.spectra_figures import density_maps, spectra_charts


def contents(
    groups: Sequence[Group],
    claims: Sequence[Claim],
    missing: list[str],
    looks: Mapping[str, Look],
    progress: Callable[[Iterable[Any]], Iterable[Any]],
) -> list[Section]:
    """The sections; `missing` has a line for each caution; `progress` wraps the iterable of problems."""
    numbered = list(enumerate(groups, start=1))
    problems = [_problem(group, f"problem{index}", looks) for index, group in progress(numbered)]
    texts = [Section(group.title, discussion(group)) for group in groups]
    answers = [Section(group.title, conclusion(group)) for group in groups]
    overall = _illustrated(charts_over(groups), looks)
    illustrated = _illustrated(_charts(claims), looks)
    results = Section(
        "Results",
        parts=[
            *([Section("All problems", [], overall)] if overall else []),
            Section("The write-up's assertions", tables=[claims_table(claims)]),
            *([Section("Figures of the assertions", [], illustrated)] if illustrated else []),
            *problems,
            Section("All runs", tables=[runs_table(groups)]),
        ],
    )
    sections = [results, Section("Discussion", parts=texts), Section("Conclusion", parts=answers)]
    return [*sections, Section("What is missing, and what to be careful with", missing)] if missing else sections


def _charts(claims: Sequence[Claim]) -> list[Chart]:
    """Those of the claims, each once."""
    return list({claim.chart.name: claim.chart for claim in claims if claim.chart is not None}.values())


def _illustrated(charts: Iterable[Chart], looks: Mapping[str, Look]) -> list[Illustration]:
    return [Illustration(draw(chart, looks), interactive(chart, looks)) for chart in charts]


def _charts_of(group: Group, prefix: str) -> list[Chart]:
    return [*figures(group, prefix), *charts_of(group, prefix), *spectra_charts(group, prefix)]


def _problem(group: Group, prefix: str, looks: Mapping[str, Look]) -> Section:
    made = [
        tables.results(group, f"{prefix}-results"),
        tables.costs(group, f"{prefix}-costs"),
        tables.targets(group, f"{prefix}-targets"),
        tables.spectra(group, f"{prefix}-spectra"),
    ]
    return Section(
        group.title,
        [setting(group)],
        [
            *_illustrated(_charts_of(group, prefix), looks),
            *(Illustration(picture) for picture in density_maps(group, prefix)),
        ],
        [table for table in made if table is not None],
        spectra=slider(group),
    )
