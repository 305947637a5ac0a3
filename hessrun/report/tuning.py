"""What tuning cost, from the files that `hessrun tune` leaves beside the runs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hessrun.report.groups import Group

_FILE = Path("tuning") / "cost.json"


@dataclass(frozen=True)
class TuningCost:
    """Of one optimizer in one experiment: trials, their runs, passes over the data and optimizer seconds."""

    optimizer: str
    trials: int
    runs: int
    passes: float
    seconds: float


def tuning_costs(groups: Sequence[Group]) -> list[TuningCost]:
    """The costs recorded beside the runs' folders; a file that cannot be read, or a damaged line of it, is left out."""
    folders = sorted({run.path.parent for group in groups for run in group.runs})
    return [cost for folder in folders for line in _lines(folder / _FILE) if (cost := _cost(line)) is not None]


def _lines(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return content if isinstance(content, list) else []


def _cost(line: Any) -> TuningCost | None:
    try:
        cost = TuningCost(
            optimizer=str(line["optimizer"]),
            trials=int(line["trials"]),
            runs=int(line["runs"]),
            passes=float(line["passes"]),
            seconds=float(line["seconds"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return cost if math.isfinite(cost.passes) and math.isfinite(cost.seconds) else None
