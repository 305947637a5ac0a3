"""Discussion and conclusion: sentences made from the numbers of the records, and none without a number."""

import math

from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import AXES, baseline, common_budget, comparable, last, median_loss_at, spread
from hessrun.report.tables import milliseconds_per_iteration, passes_per_iteration, shown, statuses

_SEEDS_FOR_CLAIMS = 8
_TIE = 1e-9


def plural(count: int, word: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _amount(amount: float, words: str) -> str:
    return f"{shown(amount)} {words.removesuffix('s') if amount == 1 else words}"


def _others(group: Group, base: Entry) -> list[Entry]:
    return [entry for entry in comparable(group) if entry.is_hessian_method and entry is not base]


def _versus(label: str, loss: float, base: str, reference: float, minimum: float | None) -> str:
    """One comparison of two median losses; a ratio only where both lie above the known minimum (or 0)."""
    if not (math.isfinite(loss) or math.isfinite(reference)):
        return f"{label} and {base} both hold no finite median loss"
    if math.isinf(loss) or math.isinf(reference):
        return f"{label} {shown(loss)} against {shown(reference)} for {base} (∞: diverged)"
    if abs(loss - reference) <= _TIE * max(abs(loss), abs(reference)):
        return f"{label} ties with {base} at {shown(loss)}"
    word = "lower" if loss < reference else "higher"
    text = f"{label} {shown(loss)}, {word} than the {shown(reference)} of {base}"
    floor = minimum if minimum is not None else 0.0
    above = (min(loss, reference) - floor, max(loss, reference) - floor)
    if above[0] > 0:
        what = "" if minimum is None else " in what is above the minimum"
        text += f" by a factor of {above[1] / above[0]:.3g}{what}"
    return text


def _equal_budgets(group: Group, base: Entry, others: list[Entry]) -> list[str]:
    sentences = []
    for axis, words in AXES.items():
        amount = common_budget([base, *others], axis)
        if not amount > 0:
            continue
        reference = median_loss_at(base, axis, amount)
        parts = [
            _versus(e.label, median_loss_at(e, axis, amount), base.label, reference, group.known_minimum)
            for e in others
        ]
        sentences.append(f"At {_amount(amount, words)}, median training loss: {'; '.join(parts)}.")
    return sentences


def _steps_cost(base: Entry, others: list[Entry]) -> str | None:
    ms, passes = milliseconds_per_iteration(base), passes_per_iteration(base)
    parts = []
    for entry in others:
        own_ms, own_passes = milliseconds_per_iteration(entry), passes_per_iteration(entry)
        if math.isfinite(own_ms) and ms > 0:
            text = f"{entry.label} {shown(own_ms)} ms ({own_ms / ms:.3g} times)"
            if math.isfinite(own_passes) and passes > 0:
                text += f" and {shown(own_passes)} passes ({own_passes / passes:.3g} times)"
            parts.append(text)
    return (
        f"An iteration of {base.label} took {shown(ms)} ms and {shown(passes)} passes; {'; '.join(parts)}."
        if parts
        else None
    )


def _curvature(group: Group) -> list[str]:
    sentences = []
    for entry in group.entries:
        exact = [[s for s in run.spectra if s.negative >= 0] for run in entry.runs]
        exact = [found for found in exact if found]
        if not exact:
            continue
        first, final = (spread([found[i].negative_share for found in exact]).median for i in (0, -1))
        steps = (min(f[0].step for f in exact), max(f[-1].step for f in exact))
        indefinite = sum(found[0].is_indefinite for found in exact)
        text = f"{entry.label}: the Hessian was indefinite at the first probe (step {steps[0]}) in {indefinite} of "
        text += f"{plural(len(exact), 'run')}; the median share of negative eigenvalues was {100 * first:.3g}%"
        if steps[1] > steps[0]:
            text += f" there and {100 * final:.3g}% at the last (step {steps[1]})"
        kappa = spread([found[-1].condition_number for found in exact]).median
        if math.isfinite(kappa):
            text += f", where |λ| max / |λ| min above the noise floor was {shown(kappa)}"
        sentences.append(text + ".")
    return sentences


def _generalisation(group: Group) -> str | None:
    parts = []
    for entry in group.entries:
        accuracy = spread([last(run, "test_accuracy") for run in entry.runs])
        if accuracy.count:
            loss = spread([last(run, "train_loss") for run in entry.runs]).median
            parts.append(f"{entry.label} {100 * accuracy.median:.2f}% at a training loss of {shown(loss)}")
    return f"Median test accuracy at the end: {'; '.join(parts)}." if parts else None


def discussion(group: Group) -> list[str]:
    """Paragraphs on one problem: equal budgets, the cost of a step, curvature, generalisation, failures."""
    paragraphs = []
    base = baseline(group)
    others = _others(group, base) if base is not None else []
    if base is not None and others:
        paragraphs += _equal_budgets(group, base, others)
        cost = _steps_cost(base, others)
        paragraphs += [cost] if cost else []
    else:
        paragraphs.append(
            f"{plural(len(group.entries), 'optimizer')} ran, and a first-order baseline with a finite loss beside a "
            "Hessian method is not among them: no comparison is made."
        )
    paragraphs += _curvature(group)
    accuracy = _generalisation(group)
    paragraphs += [accuracy] if accuracy else []
    bad = [e for e in group.entries if any(r.state in ("diverged", "failed", "interrupted", "running") for r in e.runs)]
    paragraphs += [f"Not every run of {e.label} finished: {statuses(e)}." for e in bad]
    warned = sum(bool(run.manifest.get("warnings")) for run in group.runs)
    if warned:
        first = next(run.manifest["warnings"][0] for run in group.runs if run.manifest.get("warnings"))
        paragraphs.append(f"{plural(warned, 'run')} carried a warning, the first: {first}")
    return paragraphs


def conclusion(group: Group) -> list[str]:
    """The short answer on one problem, by iteration, by the clock and by pass, and what cannot be said."""
    base = baseline(group)
    others = _others(group, base) if base is not None else []
    paragraphs = []
    if base is None or not others:
        paragraphs.append(
            f"From {plural(len(group.runs), 'run')} the question whether Hessian methods train faster has no answer: "
            "it takes a first-order run and a Hessian run on one problem."
        )
    else:
        answers = []
        for axis, words in AXES.items():
            amount = common_budget([base, *others], axis)
            if amount > 0:
                reference = median_loss_at(base, axis, amount)
                ahead = [
                    e.label
                    for e in others
                    if median_loss_at(e, axis, amount) < reference * (1 - _TIE * math.copysign(1, reference))
                ]
                who = f" ({', '.join(ahead)})" if ahead else ""
                answers.append(f"at {_amount(amount, words)}, {len(ahead)} of {len(others)}{who}")
        if answers:
            paragraphs.append(
                f"Hessian methods with a lower median training loss than {base.label}: {'; '.join(answers)}."
            )
        else:
            paragraphs.append(f"{plural(len(group.runs), 'run')} share no budget above 0: no comparison is made.")
    seeds = min(len(entry.runs) for entry in group.entries)
    if seeds < _SEEDS_FOR_CLAIMS:
        paragraphs.append(f"No claim of significance is made: the medians stand on as few as {plural(seeds, 'seed')}.")
    else:
        paragraphs.append(f"The medians stand on at least {seeds} seeds; no test of significance was made.")
    return paragraphs
