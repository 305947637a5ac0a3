"""The claims as a table, and as what claims.json holds."""

from collections.abc import Sequence
from typing import Any

from hessrun.report.claims.claim import Claim
from hessrun.report.tables import Table, shown

HEADER = ("assertion", "verdict", "evidence", "interval", "correct form", "figure")


def claims_table(claims: Sequence[Claim]) -> Table:
    """One row for each assertion of the write-up."""
    rows: list[tuple[str, ...]] = [
        (
            claim.statement,
            claim.verdict.value,
            claim.evidence,
            _interval(claim),
            claim.correction or "–",
            claim.figure or "–",
        )
        for claim in claims
    ]
    return Table("claims", "The write-up's assertions, each tested on the records.", HEADER, rows)


def _interval(claim: Claim) -> str:
    if claim.interval is None:
        return "–"
    low, high = claim.interval
    return f"[{shown(low)}, {shown(high)}] at {100 * claim.level:g}%"


def claims_json(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims for programs; `interval` is of the first of `numbers`, at `level`."""
    return [
        {
            "id": claim.id,
            "statement": claim.statement,
            "verdict": claim.verdict.value,
            "evidence": claim.evidence,
            "correction": claim.correction,
            "numbers": claim.numbers,
            "interval": list(claim.interval) if claim.interval else None,
            "level": claim.level,
            "runs": list(claim.runs),
            "figure": claim.figure,
        }
        for claim in claims
    ]
