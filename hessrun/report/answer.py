"""Conclusion over all problems, and the end of the write-up's sentence on L-BFGS."""

import math
from collections.abc import Sequence

from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.groups import Group
from hessrun.report.numbers import seeds_compared
from hessrun.report.statistics import SEEDS_FOR_CLAIMS
from hessrun.report.words import listed, mid_sentence, plural, ratio_words

HOWS = {"step": "By iteration", "passes": "By pass over the data", "seconds": "By the clock"}
FASTER = {"step": "faster_by_iteration", "passes": "faster_by_pass", "seconds": "faster_by_clock"}
_WORDS = {Verdict.SUPPORTED: "Yes", Verdict.CONTRADICTED: "No", Verdict.NOT_ENOUGH_DATA: "Undecided"}


def conclusion(groups: Sequence[Group], claims: Sequence[Claim]) -> list[str]:
    """The short answer, and what the records contradict."""
    paragraphs = [answer for axis in HOWS if (answer := _answer(claims, axis)) is not None]
    if not paragraphs:
        most = max((len(seeds_compared(e)) for g in groups for e in g.entries), default=0)
        paragraphs.append(
            f"Whether Hessian methods train faster is not answered: a claim takes {SEEDS_FOR_CLAIMS} distinct seeds "
            "of a Hessian method and of a first-order one on one problem, and the most seeds that an optimizer has "
            f"here is {most}."
        )
    answers = set(FASTER.values())
    for verdict, words in ((Verdict.SUPPORTED, "support"), (Verdict.CONTRADICTED, "contradict")):
        found = [claim for claim in claims if claim.verdict is verdict and claim.id not in answers]
        if found:
            statements = "; ".join(mid_sentence(claim.statement.rstrip(".")) for claim in found)
            paragraphs.append(f"The records {words} {plural(len(found), 'further assertion')}: {statements}.")
    found = [claim for claim in claims if claim.id == "lbfgs_over_bfgs" and claim.numbers]
    if found:
        both = f"On {plural(int(found[0].numbers['problems']), 'problem')} with runs of both"
        start = {
            Verdict.NOT_ENOUGH_DATA: f"{both} it is open whether L-BFGS is sooner than BFGS by the clock. On the "
            "largest it outperforms BFGS by ",
            Verdict.CONTRADICTED: f"{both} L-BFGS is not sooner than BFGS by the clock. On the largest it outperforms "
            "BFGS by ",
        }.get(found[0].verdict, "L-BFGS outperforms BFGS by ")
        paragraphs.append(f"{start}{lbfgs_sentence(claims)}")
    return paragraphs


def _answer(claims: Sequence[Claim], axis: str) -> str | None:
    claim = next((c for c in claims if c.id == FASTER[axis] and c.numbers), None)
    if claim is None:
        return None
    n = claim.numbers
    return (
        f"{HOWS[axis]}, do Hessian methods train faster? {_WORDS[claim.verdict]}: significantly faster in "
        f"{n['faster']:.0f} and slower in {n['slower']:.0f} of {plural(int(n['comparisons']), 'comparison')} on "
        f"{plural(int(n['problems']), 'problem')}, and on {n['problems_with_a_faster_one']:.0f} of them at least one "
        "Hessian method beat the cheapest first-order one."
    )


_GAINS = {"memory": "memory", "time_per_step": "time per iteration", "time_to_target": "time to the target"}


def lbfgs_sentence(claims: Sequence[Claim]) -> str:
    """What completes `The limited-memory BFGS algorithm outperforms the traditional BFGS algorithm by`, with a stop."""
    claim = next((c for c in claims if c.id == "lbfgs_over_bfgs"), None)
    if claim is None or "n" not in claim.numbers:
        return "an amount that these records do not tell: 0 problems hold runs of both."
    n = claim.numbers
    gains = [f"{ratio_words(1 / n[k])} in {w}" for k, w in _GAINS.items() if 0 < n.get(k, math.nan) < 1]
    losses = [
        _as_much(n[k], w)
        for k, w in (_GAINS | {"iterations": "iterations to the target"}).items()
        if 1 <= n.get(k, math.nan) < math.inf
    ]
    missed = math.isinf(n.get("time_to_target", math.nan))
    text = f"a factor of {listed(gains)}" if gains else "a factor of less than 1 in all that was measured"
    text += f" at n = {n['n']:,.0f} parameters (medians paired by seed)"
    if losses:
        text += f"; it took {listed(losses)}"
    if 0 < n.get("iterations", math.nan) < 1:
        text += f"; it took {ratio_words(n['iterations'])} times the iterations to the target"
    if missed:
        text += "; it did not reach the target in the median, which BFGS did"
    if n.get("tested", 0) > 0:
        text += f"; by the clock it was significantly sooner on {n['faster']:.0f} and later on {n['slower']:.0f} of "
        text += plural(int(n["tested"]), "problem")
    else:
        text += f"; with fewer than {SEEDS_FOR_CLAIMS} distinct seeds this is no claim"
    return text + "."


def _as_much(ratio: float, what: str) -> str:
    """`1.17 times the memory`, or `as much memory`, `as many iterations to the target`."""
    word = ratio_words(ratio)
    if word == "1":
        return f"as {'many' if what.startswith('iterations') else 'much'} {what}"
    return f"{word} times the {what}"
