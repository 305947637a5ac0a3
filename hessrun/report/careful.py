"""What a report has to say against itself: runs that are missing or cut short, clocks that cannot be trusted."""

from collections.abc import Sequence

import numpy as np

from hessrun.record import Run
from hessrun.report.drift import DRIFT, is_concurrent, is_drifting
from hessrun.report.groups import Group, column, is_tuning
from hessrun.report.words import listed, plural

_NAMED = 5  # folders


def standing(run: Run) -> str | None:
    """A line where the run has no rows, no status, or did not finish."""
    if not run.trace:
        return f"{run.path.name}: no rows yet; left out."
    if not run.status:
        verb = "is" if len(run.trace) == 1 else "are"
        return f"{run.path.name}: no status.json; its {plural(len(run.trace), 'row')} {verb} shown."
    if run.state != "finished":
        return f"{run.path.name}: {run.state} ({run.status.get('reason', 'no reason recorded')})"
    return None


def cautions(groups: Sequence[Group], runs: Sequence[Run]) -> list[str]:
    """Lines on what the numbers cannot bear; `runs` are all that were read, also those left out of the groups."""
    lines = [line for group in groups for line in group.repeated]
    if len(groups) > 1:
        lines.append(f"The runs belong to {len(groups)} problems, which are reported apart.")
    versions = sorted({str(run.manifest.get("protocol", "none")) for group in groups for run in group.runs})
    if len(versions) > 1:
        lines.append(f"The runs follow {len(versions)} versions of the protocol ({listed(versions)}): reported apart.")
    tuning = [run for run in runs if is_tuning(run)]
    if tuning:
        lines.append(f"{plural(len(tuning), 'run')} tuned settings: left out of the comparisons.")
    thinned = sum(bool(run.manifest.get("rows_thinned")) for group in groups for run in group.runs)
    if thinned:
        lines.append(
            f"{plural(thinned, 'compact record')} with rows thinned: ends and costs to the targets are those of the "
            "whole; curves and medians over rows hold fewer points."
        )
    for group in groups:
        lines += _of_group(group)
    return lines


def _of_group(group: Group) -> list[str]:
    lines = []
    if group.runs and all(run.state == "diverged" for run in group.runs):
        who = "its 1 run" if len(group.runs) == 1 else f"all {len(group.runs)} runs"
        lines.append(f"{group.title}: {who} diverged; nothing can be compared.")
    seeds = {str(run.manifest.get("seed")) for run in group.runs}
    if len(seeds) == 1:
        lines.append(f"{group.title}: 1 seed alone; no interval is given.")
    drifting = [run for run in group.runs if is_drifting(run)]
    if drifting:
        lines.append(
            f"{group.title}: in {plural(len(drifting), 'run')} the time of a reference gradient changed by more than "
            f"{100 * DRIFT:g}% from start to end ({_names(drifting)}): seconds mislead there."
        )
    beside = [run for run in group.runs if is_concurrent(run)]
    if beside:
        lines.append(f"{group.title}: {plural(len(beside), 'run')} ran beside others on one machine: seconds mislead.")
    bare = [run for run in group.runs if not np.isfinite(column(run, "train_loss")).any()]
    if bare:
        lines.append(f"{group.title}: no row of {plural(len(bare), 'run')} holds a training loss ({_names(bare)}).")
    if not any(run.spectra for run in group.runs):
        lines.append(f"{group.title}: no spectrum was recorded.")
    return lines


def _names(runs: Sequence[Run]) -> str:
    more = len(runs) - _NAMED
    return listed([run.path.name for run in runs[:_NAMED]] + ([f"{more} more"] if more > 0 else []))
