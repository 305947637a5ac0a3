"""What tuning found, on disk: `winners.yaml`, which a suite's cells take, and `cost.json`, which the report reads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from hessrun.cli.search_space import Value
from hessrun.errors import RecordError
from hessrun.record.writer import to_json, write_atomically

WINNERS, COST = "winners.yaml", "cost.json"
_HEADER = """\
# Written by `hessrun tune`; the cells of a suite take the overrides of the entry that has their digest.
# best: of `select`, the lowest value of a run within its budget, the median over the seeds. A run that diverged, or
# ended above the training loss that it began with, counts as infinite; null: no trial ended well
"""


@dataclass(frozen=True)
class Winner:
    """The setting of one method that won, and what finding it cost.

    suite, optimizer, cell: whose cells these are; digest: of all that decides the trials; overrides: the setting;
    best: the value of `select` that it reached, inf where no trial ended well; trials: settings tried; runs: for them,
    each counted once; passes, seconds, wall_seconds: of all these runs, the latter on all four clocks.
    """

    suite: str
    optimizer: str
    cell: tuple[str, ...]
    digest: str
    select: str
    seeds: tuple[int, ...]
    trials: int
    overrides: dict[str, Value]
    best: float
    runs: int
    passes: float
    seconds: float
    wall_seconds: float


def write_winners(folder: Path, suite: str, winners: Sequence[Winner]) -> list[Path]:
    """Put the suite's winners in the place of its earlier ones, those of other suites kept; the files' paths."""
    entries = [winner for winner in read_winners(folder) if winner.suite != suite] + list(winners)
    plain = [_plain(winner) for winner in entries]
    write_atomically(folder / WINNERS, _HEADER + yaml.safe_dump(plain, sort_keys=False, width=120))
    write_atomically(folder / COST, to_json([_cost(winner) for winner in entries], indent=2) + "\n")
    return [folder / WINNERS, folder / COST]


def _plain(winner: Winner) -> dict[str, Any]:
    best = winner.best if math.isfinite(winner.best) else None
    return asdict(winner) | {"best": best, "cell": list(winner.cell), "seeds": list(winner.seeds)}


def _cost(winner: Winner) -> dict[str, Any]:
    kept = ("optimizer", "trials", "runs", "passes", "seconds", "wall_seconds", "best", "select", "suite")
    return {key: getattr(winner, key) for key in kept} | {"winner": winner.overrides}


def read_winners(folder: Path) -> list[Winner]:
    """The entries of winners.yaml; none where there is no such file. Raises RecordError for a damaged one."""
    path = folder / WINNERS
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return list(_entries(content))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecordError(
            f"{path}: damaged ({reason}). Move it away: hessrun tune writes it anew from the trials beside it."
        ) from None


def _entries(content: Any) -> Iterable[Winner]:
    if not isinstance(content, list):
        raise ValueError("not a list of winners")
    names = {f.name for f in fields(Winner)}
    for entry in content:
        if not isinstance(entry, dict) or set(entry) != names:
            raise ValueError(f"an entry must have the keys {', '.join(sorted(names))}")
        if not isinstance(entry["overrides"], dict):
            raise ValueError("the overrides of an entry must be a mapping")
        for key in ("trials", "runs", "passes", "seconds", "wall_seconds"):
            if not isinstance(entry[key], int | float) or isinstance(entry[key], bool):
                raise ValueError(f"{key} of an entry must be a number, not {entry[key]!r}")
        best = math.inf if entry["best"] is None else float(entry["best"])
        yield Winner(**{**entry, "cell": tuple(entry["cell"]), "seeds": tuple(entry["seeds"]), "best": best})
