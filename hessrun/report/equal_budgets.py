"""What methods have reached beside the baseline at budgets that all of them had, in words."""

import math

import numpy as np

from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import (
    AXES,
    common_budget,
    loss_at,
    median_loss_at,
    paired,
    rounding_of,
    seeds_compared,
)
from hessrun.report.tables import shown
from hessrun.report.words import amount_of, listed, plural, ratio_words

# Losses that differ by a smaller share are level: no ratio of them would show it.
LEVEL = 0.005
_TIE = 1e-9
# Above so many methods a sentence names the ends alone.
_FEW = 5


def _versus(label: str, loss: float, base: str, reference: float, minimum: float | None, rounding: float) -> str:
    """One comparison of two median losses; a ratio only where both lie above the known minimum (or 0).

    rounding: how far above it a loss is no number any more; what lies below that counts as that.
    """
    if not (math.isfinite(loss) or math.isfinite(reference)):
        return f"{label} and {base} both hold no finite median loss"
    if math.isinf(loss) or math.isinf(reference):
        return f"{label} {shown(loss)} against {shown(reference)} for {base} (∞: diverged or not finite)"
    if abs(loss - reference) <= _TIE * max(abs(loss), abs(reference)):
        return f"{label} ties with {base} at {shown(loss)}"
    floor = minimum if minimum is not None else 0.0
    above = (min(loss, reference) - floor, max(loss, reference) - floor)
    if 0 <= above[1] <= rounding:
        return f"{label} {shown(loss)} and {base} {shown(reference)}, both at rounding"
    if is_level(loss, reference, minimum):
        return f"{label} {shown(loss)} and {base} {shown(reference)}, within {100 * LEVEL:g}% of each other"
    word = "lower" if loss < reference else "higher"
    text = f"{label} {shown(loss)}, {word} than the {shown(reference)} of {base}"
    if above[1] > rounding > above[0] >= 0:
        text += f" by a factor of more than {ratio_words(above[1] / rounding)}: it is at rounding"
    elif above[0] > 0:
        what = "" if minimum is None else " in what is above the minimum"
        text += f" by a factor of {ratio_words(above[1] / above[0])}{what}"
    return text


def is_level(loss: float, reference: float, minimum: float | None) -> bool:
    """Whether two losses, less the known minimum, differ by so little that no ratio of them would show it."""
    floor = minimum if minimum is not None else 0.0
    return abs(loss - reference) <= LEVEL * max(abs(loss - floor), abs(reference - floor))


def _pair(group: Group, entry: Entry, base: Entry, axis: str, amount: float) -> str:
    """An entry beside the baseline, over the seeds that both have where they do not have the same ones."""
    own, reference, pairs = _losses(entry, base, axis, amount)
    if pairs == 0:
        return f"{entry.label} and {base.label} have 0 seeds in common"
    text = _versus(entry.label, own, base.label, reference, group.known_minimum, rounding_of(group))
    return text if pairs is None else f"{text} (over the {plural(pairs, 'seed')} in common)"


def _losses(entry: Entry, base: Entry, axis: str, amount: float) -> tuple[float, float, int | None]:
    """The median losses of both at a budget, and over how many seeds in common where they have not the same ones."""
    if seeds_compared(entry) == seeds_compared(base):
        return median_loss_at(entry, axis, amount), median_loss_at(base, axis, amount), None
    pairs = paired(entry, base)
    if not pairs:
        return math.nan, math.nan, 0
    own, reference = (float(np.median([loss_at(pair[i], axis, amount) for pair in pairs])) for i in (0, 1))
    return own, reference, len(pairs)


def equal_budgets(group: Group, base: Entry, others: list[Entry]) -> list[str]:
    """A sentence for each axis: the median losses where the first of the runs had spent its budget."""
    sentences = []
    for axis, words in AXES.items():
        amount = common_budget([base, *others], axis)
        if not amount > 0:
            continue
        if len(others) > _FEW:
            sentences.append(_many_beside(group, base, others, axis, amount))
            continue
        parts = [_pair(group, e, base, axis, amount) for e in others]
        sentences.append(f"At {amount_of(amount, words)}, median training loss: {'; '.join(parts)}.")
    return sentences


def _many_beside(group: Group, base: Entry, others: list[Entry], axis: str, amount: float) -> str:
    """So many methods beside the baseline that a sentence on each would not be read: who is below, level and above.

    Each by the seeds that it has in common with the baseline; of losses that are rounding none is the lower one.
    """
    floor, rounding = group.known_minimum or 0.0, rounding_of(group)
    found: dict[str, dict[str, float]] = {"lower": {}, "higher": {}, "level": {}, "without a finite loss": {}}
    for entry in others:
        own, reference, _ = _losses(entry, base, axis, amount)
        if math.isnan(own):
            continue
        are_rounding = 0 <= max(own, reference) - floor <= rounding
        if not math.isfinite(own):
            found["without a finite loss"][entry.label] = own
        elif are_rounding or (math.isfinite(reference) and is_level(own, reference, group.known_minimum)):
            found["level"][entry.label] = own
        else:
            found["lower" if own < reference else "higher"][entry.label] = own
    text = f"At {amount_of(amount, AXES[axis])} {base.label} had a median training loss of "
    text += shown(median_loss_at(base, axis, amount))
    for word, losses in found.items():
        if losses:
            ends = [shown(end) for end in (min(losses.values()), max(losses.values()))]
            span = "" if word.startswith("without") else f" ({ends[0] if ends[0] == ends[1] else ' to '.join(ends)})"
            said = f"within {100 * LEVEL:g}% of it, or at rounding as it is" if word == "level" else word
            text += f"; {listed(losses)} {'was' if len(losses) == 1 else 'were'} {said}{span}"
    return text + "."
