"""What comes into a write-up's places: the report's prose with its main figures, and the corrections."""

from collections.abc import Mapping, Sequence

from hessrun.report.article import conclusion, discussion, lbfgs_sentence, results
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.groups import Group
from hessrun.report.prose import setting
from hessrun.report.series import is_a_comparison, told_alone
from hessrun.report.write_up import SECTIONS, SENTENCE, WriteUp

_RESULTS, _DISCUSSION, _CONCLUSION = SECTIONS
_OVER_ALL = ("headline", "profiles")


def texts(
    write_up: WriteUp, groups: Sequence[Group], claims: Sequence[Claim], captions: Mapping[str, str]
) -> dict[str, str]:
    """Markdown for each place, its headings one level below that of the place's section.

    captions: by name, of the report's figures, which are linked as they stand beside report.md.
    """
    levels = {name: place.level for name, place in write_up.places.items()}
    return {
        _RESULTS: _joined(_results(groups, claims, captions, levels.get(_RESULTS, 1))),
        _DISCUSSION: _joined(_discussion(groups, claims, captions, levels.get(_DISCUSSION, 1))),
        _CONCLUSION: _joined(conclusion(groups, claims)),
        SENTENCE: lbfgs_sentence(claims),
    }


def _results(groups: Sequence[Group], claims: Sequence[Claim], captions: Mapping[str, str], level: int) -> list[str]:
    """The prose and the figures over all problems; then the comparisons that stand in no series: setting, loss."""
    parts = [*results(groups, claims), *_figures(_OVER_ALL, captions)]
    alone = {group.title for group in told_alone(groups) if is_a_comparison(group)}
    for index, group in enumerate(groups, start=1):
        if group.title in alone:
            parts += [_headed(level, group.title), setting(group), *_figures([f"problem{index}-loss"], captions)]
    return [*parts, "All tables and figures: [report.md](report.md)."]


def _discussion(groups: Sequence[Group], claims: Sequence[Claim], captions: Mapping[str, str], level: int) -> list[str]:
    """The prose, the figures of what the records decided, and the correct form of what the write-up says loosely."""
    decided = [claim.chart for claim in claims if claim.verdict is not Verdict.NOT_ENOUGH_DATA and claim.chart]
    parts = [*discussion(groups, claims), *_figures(dict.fromkeys(chart.name for chart in decided), captions)]
    corrections = {claim.correction: claim.statement for claim in claims if claim.correction}
    if corrections:
        listed = [f"- *{statement}* {correction}" for correction, statement in corrections.items()]
        parts += [_headed(level, "What is to be said more exactly"), "\n".join(listed)]
    return parts


def _figures(names: Sequence[str] | Mapping[str, object], captions: Mapping[str, str]) -> list[str]:
    named = [(name, captions[name]) for name in names if name in captions]
    return [f"![{name}](figures/{name}.svg)\n\n*{caption}*" for name, caption in named]


def _headed(level: int, title: str) -> str:
    """A heading one level below `level`, in bold where there is no lower one."""
    return f"{'#' * (level + 1)} {title}" if level < 6 else f"**{title}**"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts)
