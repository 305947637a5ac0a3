"""Discussion and conclusion: sentences made from the numbers of the records, and none without a number."""

import math

from hessrun.report.equal_budgets import LEVEL, equal_budgets, is_level
from hessrun.report.groups import Entry, Group
from hessrun.report.numbers import (
    AXES,
    baseline,
    common_budget,
    contenders,
    largest,
    last,
    median_cost,
    median_loss_at,
    milliseconds_per_iteration,
    passes_per_iteration,
    rounding_of,
    smallest,
    spread,
    target_of,
)
from hessrun.report.statistics import SEEDS_FOR_CLAIMS
from hessrun.report.tables import shown, statuses
from hessrun.report.words import amount_of, listed, plural, ratio_words


def _times(value: float) -> str:
    return "the same" if ratio_words(value) == "1" else f"{ratio_words(value)} times as much"


def setting(group: Group) -> str:
    """What was run, on what: sizes, runs, seeds, precision, device and threads."""
    manifests = [run.manifest for run in group.runs]
    seeds = len({str(m.get("seed")) for m in manifests})
    text = f"{plural(group.n_parameters, 'parameter')}, {plural(group.n_examples, 'training example')}; "
    text += f"{plural(len(manifests), 'run')} of {plural(len(group.entries), 'optimizer')} over {plural(seeds, 'seed')}"
    if all("dtype" in m and "device" in m for m in manifests):
        names = listed(str(m.get("device_name") or m["device"]) for m in manifests)
        text += f", in {listed(m['dtype'] for m in manifests)} on {names}"
        if all("threads" in m for m in manifests):
            text += f", threads: {listed(m['threads'] for m in manifests)}"
    return text + "."


def _steps_cost(base: Entry, others: list[Entry]) -> str | None:
    ms, passes = milliseconds_per_iteration(base), passes_per_iteration(base)
    parts = []
    for entry in others:
        own_ms, own_passes = milliseconds_per_iteration(entry), passes_per_iteration(entry)
        if math.isfinite(own_ms) and ms > 0:
            text = f"{entry.label} {shown(own_ms)} ms ({_times(own_ms / ms)})"
            if math.isfinite(own_passes) and passes > 0:
                text += f" and {amount_of(own_passes, 'passes')} ({_times(own_passes / passes)})"
            parts.append(text)
    return (
        f"An iteration of {base.label} took {shown(ms)} ms and {amount_of(passes, 'passes')}; {'; '.join(parts)}."
        if parts
        else None
    )


def _place(which: str, steps: list[int]) -> str:
    """Where the runs of an optimizer were probed first or last."""
    if min(steps) == max(steps):
        return f"at step {steps[0]}"
    return f"at the {which} probe (steps {min(steps)} to {max(steps)})"


def _curvature(group: Group) -> list[str]:
    """A sentence or two for each optimizer: the ends of the spectrum, then what only an exact one tells."""
    sentences = []
    for entry in group.entries:
        probed = [run.spectra for run in entry.runs if run.spectra]
        if not probed:
            continue
        places = {_place("first", [found[0].step for found in probed]): 0}
        if any(len(found) > 1 for found in probed):
            places[_place("last", [found[-1].step for found in probed])] = -1
        judged = [found[0] for found in probed if math.isfinite(found[0].noise_floor)]
        text = f"{entry.label}: at the first probe the Hessian had an eigenvalue below minus the noise floor in "
        text += f"{sum(s.is_indefinite for s in judged)} of {plural(len(judged), 'run')}"
        ranges = []
        for place, index in places.items():
            low, high = (spread([end(found[index]) for found in probed]).median for end in (smallest, largest))
            if math.isfinite(low) and math.isfinite(high):
                ranges.append(f"from {shown(low)} to {shown(high)} {place}")
        text += f"; its eigenvalues ranged {' and '.join(ranges)}" if ranges else ""
        exact = [known for found in probed if (known := [s for s in found if s.negative >= 0])]
        if exact:
            shares = [spread([known[i].negative_share for known in exact]).median for i in places.values()]
            listed = " and ".join(f"{100 * share:.3g}% {place}" for share, place in zip(shares, places, strict=True))
            text += f"; {listed} of them were negative"
            kappa = spread([known[-1].condition_number for known in exact]).median
            if math.isfinite(kappa):
                text += f"; |λ| max / |λ| min above the noise floor was {shown(kappa)} at the last probe"
        sentences.append(text + " (medians).")
    return sentences


def _to_target(group: Group, base: Entry, others: list[Entry]) -> str | None:
    found = target_of(group)
    if found is None:
        return None
    parts = []
    for entry in (base, *others):
        spent, how = {axis: median_cost(entry, found[0], axis) for axis in AXES}, "took"
        if not math.isfinite(spent["step"]):
            spent = {axis: spread([last(run, axis) for run in entry.compared]).median for axis in AXES}
            how = "did not reach it in the median and ended after"
        parts.append(f"{entry.label} {how} {listed(amount_of(spent[axis], words) for axis, words in AXES.items())}")
    return f"To a training loss of {found[0]:.4g}, {found[1]}: {'; '.join(parts)} (medians, a miss counts as infinite)."


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
    others = contenders(group)
    if base is not None and others:
        more = (_to_target(group, base, others), _steps_cost(base, others))
        compared = [*equal_budgets(group, base, others), *(text for text in more if text is not None)]
        paragraphs += [" ".join(compared)] if compared else []
    else:
        paragraphs.append(
            f"{plural(len(group.entries), 'optimizer')} ran, and a first-order baseline with a finite loss beside a "
            "method to compare with it are not both among them: no comparison is made."
        )
    paragraphs += _curvature(group)
    accuracy = _generalisation(group)
    paragraphs += [accuracy] if accuracy else []
    bad = [e for e in group.entries if any(r.state in ("diverged", "failed", "interrupted", "running") for r in e.runs)]
    paragraphs += [f"Not every run of {e.label} finished: {statuses(e)}." for e in bad]
    apart = [entry for entry in group.entries if not entry.minimises_objective]
    if apart:
        count = sum(len(entry.runs) for entry in apart)
        names = listed(entry.label for entry in apart)
        paragraphs.append(f"{plural(count, 'run')} ({names}) minimised another function: left out of the comparisons.")
    clocks = {(r.manifest.get("device_name"), r.manifest.get("threads")) for r in group.runs}
    if len(clocks) > 1:
        paragraphs.append(
            f"The runs were timed on {len(clocks)} settings of machine and threads: seconds mislead here."
        )
    warned = sum(bool(run.manifest.get("warnings")) for run in group.runs)
    if warned:
        first = next(run.manifest["warnings"][0] for run in group.runs if run.manifest.get("warnings"))
        paragraphs.append(f"{plural(warned, 'run')} carried a warning, the first: {first}")
    return paragraphs


def _answer(group: Group, base: Entry, others: list[Entry], axis: str, how: str) -> str | None:
    """Whether the Hessian methods stand lower than the baseline at the common budget on one axis."""
    methods = [entry for entry in others if entry.is_hessian_method]
    amount = common_budget([base, *others], axis)
    if not amount > 0:
        return None
    reference = median_loss_at(base, axis, amount)
    losses = {entry.label: median_loss_at(entry, axis, amount) for entry in methods}
    ahead = [
        label
        for label, loss in losses.items()
        if loss < reference
        and not (math.isfinite(reference) and is_level(loss, reference, group.known_minimum))
        and not reference - (group.known_minimum or 0.0) <= rounding_of(group)
    ]
    word = "no" if not ahead else "yes" if len(ahead) == len(methods) else "in part"
    who = f" ({listed(ahead)})" if ahead else ""
    return (
        f"{how}, {word}: at {amount_of(amount, AXES[axis])}, {len(ahead)} of "
        f"{plural(len(methods), 'Hessian method')}{who} had a median training loss lower by more than "
        f"{100 * LEVEL:g}% than {base.label}."
    )


def conclusion(group: Group) -> list[str]:
    """One paragraph: the short answer on one problem by iteration, pass and clock, and what cannot be said."""
    base, others = baseline(group), contenders(group)
    sentences = []
    if base is None or not any(entry.is_hessian_method for entry in others):
        sentences.append(
            f"From {plural(len(group.runs), 'run')} the question whether Hessian methods train faster has no answer: "
            "it takes a first-order run with a finite loss and a Hessian run on one problem."
        )
    else:
        hows = {"step": "By iteration", "passes": "By pass", "seconds": "By the clock"}
        answers = [_answer(group, base, others, axis, how) for axis, how in hows.items()]
        sentences += [answer for answer in answers if answer is not None]
        if not sentences:
            sentences.append(f"No budget above 0 is common to the {len(group.runs)} runs: no comparison is made.")
    seeds = min(len({str(run.manifest.get("seed")) for run in entry.runs}) for entry in group.entries)
    if seeds < SEEDS_FOR_CLAIMS:
        sentences.append(f"No claim of significance is made: the medians stand on as few as {plural(seeds, 'seed')}.")
    else:
        sentences.append(f"The medians stand on at least {seeds} seeds; the tests stand with the assertions.")
    return [" ".join(sentences)]
