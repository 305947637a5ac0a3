"""Results, Discussion and Conclusion over all problems, by theme; the texts on one problem alone are in `prose`.

Every sentence holds a number of the records.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from hessrun.report.answer import FASTER, HOWS, conclusion, lbfgs_sentence
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.comparisons import Compared, beside_cheapest
from hessrun.report.drift import DRIFT, gradient_equivalents, is_concurrent, is_drifting
from hessrun.report.groups import Entry, Group, end_word
from hessrun.report.numbers import (
    AXES,
    baseline,
    comparable,
    contenders,
    median_cost,
    median_final_loss,
    milliseconds_per_iteration,
    seeds_compared,
    spread,
    target_of,
)
from hessrun.report.series import row_of_series, series_of_problems, told_alone
from hessrun.report.tables import shown
from hessrun.report.titles import short_titles
from hessrun.report.tuning import tuning_costs
from hessrun.report.words import amount_of, listed, mid_sentence, plural, ratio_words

__all__ = ["conclusion", "discussion", "lbfgs_sentence", "results"]

_BAD = ("diverged", "failed", "line_search_failed", "stalled", "interrupted", "running")
_THEMES = {
    "convergence": ("gradient_descent_order", "newton_order", "bfgs_order"),
    "cost": ("newton_step_cost", "newton_impractical", "bfgs_step_cost", "lbfgs_step_cost"),
    "curvature": (
        *("hessian_indefinite", "negative_share_falls", "indefinite_no_minimum", "condition_number_formula"),
    ),
    "conditioning": (
        *("condition_gradient_descent", "condition_newton", "condition_oscillation", "condition_second_order"),
        "condition_slow",
    ),
    "matrix": ("bfgs_symmetric", "bfgs_positive_definite", "bfgs_secant", "bfgs_close", "bfgs_dennis_more"),
    "pairs": ("dfp_versus_bfgs", "lbfgs_over_bfgs"),
}


def _range(values: Sequence[float]) -> str:
    """`5`, or `2 to 50,890`."""
    low, high = min(values), max(values)
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def results(groups: Sequence[Group], claims: Sequence[Claim]) -> list[str]:
    """What was run and how it ended, and the main table in words: a sentence for each problem or series of them."""
    runs = [run for group in groups for run in group.runs]
    names = list(dict.fromkeys(entry.name for group in groups for entry in group.entries))
    seeds = [len(seeds_compared(entry)) for group in groups for entry in group.entries if entry.compared]
    ends = Counter(end_word(run).replace("_", " ") for run in runs)
    text = (
        f"{plural(len(runs), 'run')} of {plural(len(names), 'optimizer')} ({listed(names)}) on "
        f"{plural(len(groups), 'problem')} with {_range([group.n_parameters for group in groups])} parameters"
    )
    if seeds:
        text += f", {_range(seeds)} {'seed' if max(seeds) == 1 else 'seeds'} for each optimizer"
    how = listed(f"{count} {word}" for word, count in ends.most_common())
    paragraphs = [f"{text}. They ended as follows: {how}."]
    single, titles = told_alone(groups), short_titles(groups)
    paragraphs += [
        sentence for group in single if len(group.entries) > 1 for sentence in _main_row(group, titles[group.title])
    ]
    paragraphs += [row_of_series(family) for family in series_of_problems(groups)]
    alone = sum(len(group.entries) == 1 for group in single)
    if alone:
        paragraphs.append(f"On {plural(alone, 'problem')} 1 optimizer ran alone: there is nothing to compare there.")
    tested = Counter(claim.verdict for claim in claims)
    if claims:
        paragraphs.append(
            f"Of {plural(len(claims), 'assertion')} the records support {tested[Verdict.SUPPORTED]}, contradict "
            f"{tested[Verdict.CONTRADICTED]} and do not suffice for {tested[Verdict.NOT_ENOUGH_DATA]}."
        )
    return paragraphs


def _main_row(group: Group, title: str) -> list[str]:
    """A sentence on one problem: who ended lowest, and who reached the target first by each axis."""
    entries = [entry for entry in comparable(group) if math.isfinite(median_final_loss(entry))]
    if not entries:
        return [f"On {title} 0 of {plural(len(group.runs), 'run')} ended with a finite training loss to compare."]
    lowest = min(entries, key=median_final_loss)
    least = shown(median_final_loss(lowest))
    text = f"On {title} {lowest.label} ended with the lowest median training loss, {least}"
    base = baseline(group)
    if base is not None and base is not lowest:
        reference = shown(median_final_loss(base))
        of_base = f"{base.label}, the lowest first-order method"
        text += f", to 4 digits the same as {of_base}" if reference == least else f", against {reference} of {of_base}"
    goal = target_of(group)
    firsts = [] if goal is None or len(entries) < 2 else _firsts(entries, goal[0])
    if goal is not None and firsts:
        text += f"; a loss of {shown(goal[0])} ({goal[1]}) was reached first by {listed(firsts)}"
    return [text + "."]


def _firsts(entries: Sequence[Entry], target: float) -> list[str]:
    """Who reached the target first in the median, by each axis, with what it took."""
    found = []
    for axis, words in AXES.items():
        costs = {entry.label: median_cost(entry, target, axis) for entry in entries}
        label = min(costs, key=lambda name: costs[name])
        if math.isfinite(costs[label]):
            found.append(f"{label} in {amount_of(costs[label], words)}")
    return found


def _faster(groups: Sequence[Group], claims: Sequence[Claim], axis: str) -> str | None:
    """Hessian methods beside the cheapest first-order one by one axis, over all problems."""
    found = [c for group in groups for c in beside_cheapest(group, axis)]
    if not found:
        return None
    ahead, behind = [c for c in found if c.found.is_ahead], [c for c in found if c.found.is_behind]
    problems, titles = {c.group.title for c in found}, short_titles(groups)
    text = (
        f"{HOWS[axis]}, {len(ahead)} of {plural(len(found), 'comparison')} of a Hessian method with the first-order "
        f"method that took the fewest {AXES[axis]}, on {plural(len(problems), 'problem')}, went to the Hessian method "
        "in the median"
    )
    if ahead:
        best = min(ahead, key=lambda c: c.found.high)
        text += f", at best {best.mine.label} on {titles[best.group.title]} ({_cost_words(best)})"
    if behind:
        worst = max(behind, key=lambda c: c.found.low)
        text += f", and {len(behind)} to the first-order method"
        text += f", at worst {worst.mine.label} on {titles[worst.group.title]} ({_cost_words(worst)})"
    level = len(found) - len(ahead) - len(behind)
    text += f"; {level} {'is' if level == 1 else 'are'} level or left open by the budgets." if level else "."
    verdicts = [claim for claim in claims if claim.id == FASTER[axis] and claim.numbers]
    return " ".join([text, *(claim.evidence for claim in verdicts)])


def _cost_words(found: Compared) -> str:
    low, high = found.found.low, found.found.high
    if high == 0:
        return f"{found.other.label} missed the target in the median of {plural(found.found.pairs, 'seed')}"
    if math.isinf(low):
        return f"it missed the target in the median of {plural(found.found.pairs, 'seed')}"
    times = ratio_words(low) if low == high else f"at most {ratio_words(high)}"
    if low != high and (low > 1 or math.isinf(high)):
        times = f"at least {ratio_words(low)}"
    text = f"{times} times the {AXES[found.axis]} of {found.other.label}"
    if found.found.interval is not None and all(map(math.isfinite, found.found.interval)):
        low, high = found.found.interval
        text += f", 95% interval {ratio_words(low)} to {ratio_words(high)}"
    return text


def _steps(groups: Sequence[Group]) -> str | None:
    """Each Hessian method's time per iteration over the baseline's, over the problems."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        base = baseline(group)
        reference = math.nan if base is None else milliseconds_per_iteration(base)
        for entry in contenders(group):
            value = milliseconds_per_iteration(entry) / reference if reference > 0 else math.nan
            if entry.is_hessian_method and math.isfinite(value):
                ratios[entry.name].append(value)
    if not ratios:
        return None
    parts = [f"{name} {_ratios(v)}" for name, v in sorted(ratios.items(), key=lambda item: max(item[1]))]
    problems = plural(max(len(v) for v in ratios.values()), "problem")
    return (
        "An iteration took, in times that of the first-order method that ended lowest, on up to "
        f"{problems}: {', '.join(parts)}."
    )


def _ratios(values: Sequence[float]) -> str:
    """`3.2`, or `3.2 to 340`."""
    low, high = ratio_words(min(values)), ratio_words(max(values))
    return low if low == high else f"{low} to {high}"


def _theme(claims: Sequence[Claim], theme: str) -> str | None:
    """What the records decided of a theme: statement, verdict and evidence."""
    found = [c for c in claims if c.id in _THEMES[theme] and c.verdict is not Verdict.NOT_ENOUGH_DATA]
    sentences = [f"{claim.statement.rstrip('.')} ({claim.verdict}): {mid_sentence(claim.evidence)}" for claim in found]
    return " ".join(sentences) if sentences else None


def _failures(groups: Sequence[Group]) -> str | None:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for group in groups:
        for entry in group.entries:
            total[entry.name] += len(entry.runs)
            found[entry.name].update(end_word(r).replace("_", " ") for r in entry.runs if end_word(r) in _BAD)
    parts = [
        f"{name} in {sum(words.values())} of {plural(total[name], 'run')} "
        f"({listed(f'{count} {word}' for word, count in words.most_common())})"
        for name, words in found.items()
        if words
    ]
    if not parts:
        return f"0 of {plural(sum(total.values()), 'run')} diverged, stalled or failed."
    return f"Runs that diverged, stalled, failed or were cut short: {'; '.join(parts)}."


def _clocks(groups: Sequence[Group]) -> str | None:
    runs = [run for group in groups for run in group.runs]
    drifting, beside = sum(map(is_drifting, runs)), sum(map(is_concurrent, runs))
    timed = sum("reference_gradient_seconds" in run.status for run in runs)
    if not timed and not beside:
        return None
    text = f"In {drifting} of {plural(timed, 'run')} the time of a reference gradient changed by over {100 * DRIFT:g}%"
    return f"{text}, and {plural(beside, 'run')} ran beside others: their seconds carry less weight."


def _equivalents(groups: Sequence[Group]) -> str | None:
    """Optimizer time in units of the gradient that was timed beside it: a slow hour of the machine cancels."""
    found: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        for entry in group.entries:
            found[entry.name] += [e for run in entry.runs if math.isfinite(e := gradient_equivalents(run))]
    parts = [f"{name} {ratio_words(spread(values).median)}" for name, values in found.items() if values]
    return f"In reference gradients, the median run of each optimizer took: {', '.join(parts)}." if parts else None


def _tuning(groups: Sequence[Group]) -> str | None:
    costs = tuning_costs(groups)
    if not costs:
        return None
    seconds: dict[str, float] = defaultdict(float)
    for cost in costs:
        seconds[cost.optimizer] += cost.seconds
    parts = listed(f"{name} {shown(value)} s" for name, value in sorted(seconds.items(), key=lambda item: -item[1]))
    return (
        f"Tuning took {plural(sum(c.trials for c in costs), 'trial')} in {plural(sum(c.runs for c in costs), 'run')}, "
        f"{amount_of(sum(c.passes for c in costs), 'passes')} and "
        f"{amount_of(sum(seconds.values()), 'optimizer seconds')} ({parts}), which the comparisons leave out."
    )


def discussion(groups: Sequence[Group], claims: Sequence[Claim]) -> list[str]:
    """By iteration, by pass, by the clock; the cost of a step; curvature; conditioning; failures; tuning."""
    paragraphs = [_faster(groups, claims, axis) for axis in HOWS]
    if not any(paragraphs):
        paragraphs = [
            f"{plural(len(groups), 'problem')} hold no pair of a Hessian method and a first-order baseline with seeds "
            "in common: no comparison is made."
        ]
    paragraphs += [_theme(claims, "convergence"), _steps(groups), _theme(claims, "cost")]
    paragraphs += [_theme(claims, theme) for theme in ("curvature", "conditioning", "matrix", "pairs")]
    paragraphs += [_failures(groups), _clocks(groups), _equivalents(groups), _tuning(groups)]
    told = set(FASTER.values())
    undecided = [c for c in claims if c.verdict is Verdict.NOT_ENOUGH_DATA and not (c.id in told and c.numbers)]
    if undecided:
        parts = "; ".join(mid_sentence(claim.statement.rstrip(".")) for claim in undecided)
        paragraphs.append(
            f"The records do not suffice to judge {plural(len(undecided), 'assertion')} (the table of assertions says "
            f"what each lacks): {parts}."
        )
    return [text for text in paragraphs if text is not None]
