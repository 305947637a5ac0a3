"""The table of all runs: what each was set to, where it differs from the others, how it ended and what it cost."""

import json
from collections.abc import Sequence
from typing import Any

from hessrun.record import Run
from hessrun.report.groups import Group, end_word, flat
from hessrun.report.numbers import last
from hessrun.report.tables import Table, shown

_ENDS = {
    "iterations": "step",
    "seconds": "seconds",
    "passes": "passes",
    "training loss": "train_loss",
    "gradient norm": "gradient_norm",
    "test accuracy": "test_accuracy",
}
_APART = ("seed", "data_dir", "source", "root", "path", "outputs", "_target_")


def runs_table(groups: Sequence[Group]) -> Table:
    """One row for each run that the report stands on, with the settings in which the runs differ."""
    told = _told([run for group in groups for run in group.runs])
    rows = []
    for group in groups:
        for entry in group.entries:
            for run in entry.runs:
                seed = str(run.manifest.get("seed", "–"))
                ends = (shown(last(run, column)) for column in _ENDS.values())
                reason = str(run.status.get("reason", "no status.json"))
                status = end_word(run).replace("_", " ")
                rows.append((run.path.name, group.title, entry.label, seed, status, *ends, reason, told[str(run.path)]))
    header = ("run", "problem", "optimizer", "seed", "status", *_ENDS, "reason", "settings")
    caption = f"The {len(rows)} runs: last rows, and the settings in which they differ."
    return Table("runs", caption, header, rows)


def _told(runs: Sequence[Run]) -> dict[str, str]:
    """By folder, the settings whose values are not the same in all runs, as `optimizer.lr=0.1, ...`."""
    settings = {str(run.path): _settings(run) for run in runs}
    values: dict[str, set[str]] = {}
    for own in settings.values():
        for key, value in own.items():
            values.setdefault(key, set()).add(value)
    differing = [key for key, found in values.items() if len(found) > 1 or any(key not in s for s in settings.values())]
    return {
        path: ", ".join(f"{key}={own[key]}" for key in sorted(differing) if key in own)
        for path, own in settings.items()
    }


def _settings(run: Run) -> dict[str, str]:
    known: dict[str, Any] = flat(run.config) | {key: run.manifest.get(key) for key in ("dtype", "device", "protocol")}
    return {
        key: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in known.items()
        if key.rsplit(".", 1)[-1] not in _APART and value is not None
    }
