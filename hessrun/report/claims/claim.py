"""What a test of an assertion gives: a verdict with its numbers, in a sentence, and the figure behind it."""

from dataclasses import dataclass, field
from enum import StrEnum

from hessrun.report.chart import Chart


class Verdict(StrEnum):
    """How an assertion stands beside the records."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True)
class Claim:
    """One assertion of the write-up, tested.

    id: a word for files and links, such as `newton_order`; statement: the assertion, as the write-up means it.
    correction: the correct form where the write-up is loose, or "".
    evidence: one sentence with the numbers; where the data do not suffice, what is lacking.
    numbers: what the sentence rests on; interval: of the first of them, (low, high) at `level`, or None.
    runs: the folders' names of the runs that it rests on.
    chart: the figure, or None where there is nothing to draw; shown_in: the name of one that stands elsewhere in the
    report, or "".
    """

    id: str
    statement: str
    verdict: Verdict
    evidence: str
    correction: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    level: float = 0.95
    runs: tuple[str, ...] = ()
    chart: Chart | None = None
    shown_in: str = ""

    @property
    def figure(self) -> str | None:
        """The file of its figure below the report's folder, or None."""
        name = self.shown_in if self.chart is None else self.chart.name
        return f"figures/{name}.svg" if name else None
