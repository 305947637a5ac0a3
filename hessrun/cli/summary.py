"""What a person reads when a command ends: one screen for a run, a table for a sweep."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hessrun.cli.outcomes import JobOutcome
from hessrun.record.schema import passes_of

if TYPE_CHECKING:  # a table of what stands on disk takes no torch
    from hessrun.run import Ended, Experiment

# Of a dry run.
_AHEAD = ("new", "to extend")
_EXPLAINED = ("failed", "refused", "interrupted", "diverged", "damaged", "new", "to extend", "not run")


def print_summary(experiment: "Experiment", ended: "Ended") -> None:
    """How one run ended, and the next command to type."""
    from hessrun.run.peak import peak_memory

    row = ended.last_row or {}
    seconds = row.get("seconds", 0.0)
    facts = experiment.problem.facts
    lines = [
        ("run", ended.folder.name),
        ("problem", f"{facts.name}, {facts.n_parameters:,} parameters, {facts.n_examples:,} examples"),
        ("ended", f"{ended.status.value} after {_count(row.get('step', 0), 'step')}: {ended.status.sentence}"),
        ("training loss", f"{row.get('train_loss', float('nan')):.6g}"),
        ("gradient norm", f"{row.get('gradient_norm', float('nan')):.3g}"),
    ]
    lines += [
        (name.replace("_", " "), f"{row[name]:.4f}") for name in ("validation_accuracy", "test_accuracy") if name in row
    ]
    lines += [
        ("cost", f"{seconds:.3g} s on the optimizer's clock, {passes_of(row):.4g} passes over the data"),
        ("memory", f"{peak_memory().get('peak_memory_bytes', 0) / 2**20:,.0f} MiB at the most"),
        ("record", str(ended.folder)),
        ("next", f"hessrun report {ended.folder}"),
    ]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


def print_table(outcomes: Sequence[JobOutcome]) -> None:
    """The cells of a sweep: state, loss, seconds, steps, and the reason of those that did not run well."""
    width = max([len(outcome.name) for outcome in outcomes] + [4])
    print(f"{'cell':<{width}}  {'state':<11}  {'loss':>10}  {'seconds':>8}  {'steps':>6}")
    for one in outcomes:
        loss = f"{one.loss:10.4g}" if one.loss is not None else f"{'':>10}"
        seconds = f"{one.seconds:8.3g}" if one.seconds is not None else f"{'':>8}"
        steps = f"{one.steps:6d}" if one.steps is not None else f"{'':>6}"
        reason = f"  {one.line}" if one.state in _EXPLAINED else ""
        if one.state == "running" and one.planned and one.steps is not None:
            reason = f"  {one.steps / one.planned:.0%} of at most {_count(one.planned, 'step')}"
        print(f"{one.name:<{width}}  {one.state:<11}  {loss}  {seconds}  {steps}{reason}")
    tally = Counter(outcome.state for outcome in outcomes)
    print(f"{_count(len(outcomes), 'cell')}: {', '.join(f'{count} {state}' for state, count in tally.items())}")
    if any(outcome.state in _AHEAD for outcome in outcomes):
        known = [one.seconds for one in outcomes if one.seconds is not None]
        rest = _count(len(outcomes) - len(known), "cell")
        about = [f"about {sum(known):,.0f} s"] if known else []
        unknown = [f"{rest} the like of which has not run"] if len(known) < len(outcomes) else []
        print(f"to come: {', and '.join(about + unknown)}")
        print("next: the same without --dry-run")
    else:
        print("next: hessrun report")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
