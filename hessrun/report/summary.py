"""What report.json holds: every number of the report by problem and optimizer; what is not finite becomes null."""

from typing import Any

from hessrun.record import Run, Spectrum
from hessrun.record.schema import PASSES
from hessrun.report.groups import Entry, Group, end_word
from hessrun.report.numbers import (
    AXES,
    baseline,
    common_budget,
    contenders,
    largest,
    last,
    median_cost,
    median_final_loss,
    median_loss_at,
    milliseconds_per_iteration,
    passes_per_iteration,
    reference,
    smallest,
    spread,
    target_of,
)

_ENDS = (
    *("train_loss", "gradient_norm", "gradient_max", "validation_loss", "validation_accuracy", "test_loss"),
    *("test_accuracy", "step", "seconds", "passes", *PASSES, "state_bytes"),
)


def _spectrum(spectrum: Spectrum) -> dict[str, Any]:
    return {
        "step": spectrum.step,
        "kind": spectrum.kind,
        "largest": largest(spectrum),
        "smallest": smallest(spectrum),
        "negative": spectrum.negative if spectrum.negative >= 0 else None,
        "condition_number": spectrum.condition_number,
        "noise_floor": spectrum.noise_floor,
        "noise_floor_source": spectrum.noise_floor_source,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.path.name,
        "seed": run.manifest.get("seed"),
        "status": end_word(run),
        "reason": run.status.get("reason"),
        "rows": len(run.trace),
        "end": {name: last(run, name) for name in _ENDS},
        "spectra": [_spectrum(s) for s in run.spectra],
    }


def _entry(entry: Entry, target: float | None) -> dict[str, Any]:
    return {
        "label": entry.label,
        "optimizer": entry.name,
        "minimises_the_objective": entry.minimises_objective,
        "end": {name: vars(spread([last(run, name) for run in entry.runs])) for name in _ENDS},
        "median_final_loss": median_final_loss(entry),
        "milliseconds_per_iteration": milliseconds_per_iteration(entry),
        "passes_per_iteration": passes_per_iteration(entry),
        "cost_to_target": None if target is None else {axis: median_cost(entry, target, axis) for axis in AXES},
        "runs": [_run(run) for run in entry.runs],
    }


def _equal_budget(entries: list[Entry], axis: str) -> dict[str, Any]:
    amount = common_budget(entries, axis)
    return {"amount": amount, "median_loss": {entry.label: median_loss_at(entry, axis, amount) for entry in entries}}


def summary(group: Group) -> dict[str, Any]:
    """The numbers of one problem: each run, medians over seeds, cost to the target, losses at equal budgets."""
    found, base = target_of(group), baseline(group)
    others = contenders(group)
    return {
        "title": group.title,
        "n_parameters": group.n_parameters,
        "n_examples": group.n_examples,
        "known_minimum": group.known_minimum,
        "baseline": base.label if base else None,
        "cheapest_first_order": {axis: best.label for axis in AXES if (best := reference(group, axis)) is not None},
        "target": {"train_loss": found[0], "source": found[1]} if found else None,
        "equal_budgets": {axis: _equal_budget([base, *others], axis) for axis in AXES} if base and others else None,
        "optimizers": [_entry(entry, found[0] if found else None) for entry in group.entries],
    }
