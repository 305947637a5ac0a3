"""Which runs a claim looks at, and what it says where there are none."""

from collections.abc import Iterator, Sequence

import numpy as np

from hessrun.record import Run
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.groups import Array, Entry, Group, column, family_key
from hessrun.report.statistics import median_interval

DENSE_NEWTON = ("newton", "newton_trust")
GRADIENT_DESCENT = ("gd", "sgd")
NEAR = 1e-4  # of the first gradient norm: below, a run is near a stationary point


def entries_named(groups: Sequence[Group], *names: str) -> Iterator[tuple[Group, Entry]]:
    """The entries of these optimizers that minimise the objective, with the problems they ran on."""
    for group in groups:
        for entry in group.entries:
            if entry.name in names and entry.minimises_objective:
                yield group, entry


def is_plain(run: Run) -> bool:
    """Gradient descent on all examples, without momentum, at a constant rate: what theory speaks of."""
    settings = run.config.get("optimizer") or {}
    schedule = str((settings.get("schedule") or {}).get("_target_", "Constant"))
    is_full_batch = settings.get("batch_size") is None
    return is_full_batch and settings.get("momentum") in (None, 0, 0.0) and schedule.endswith("Constant")


def known(run: Run, *names: str) -> tuple[Array, ...]:
    """Columns of a run at the rows where all of them are finite, each [rows]."""
    columns = [column(run, name) for name in names]
    finite = np.all([np.isfinite(values) for values in columns], axis=0)
    return tuple(values[finite] for values in columns)


def is_near_minimum(run: Run, at: int | None = None) -> bool:
    """The last gradient norm, or the last one up to the step `at`, is at most `NEAR` times the first."""
    steps, norms = known(run, "step", "gradient_norm")
    seen = norms if at is None else norms[steps <= at]
    return bool(seen.size and seen[-1] <= NEAR * seen[0])


def precision(run: Run) -> float:
    """The machine epsilon of the run's numbers; that of float64 where the record does not say."""
    return float(np.finfo(np.float32 if run.manifest.get("dtype") == "float32" else np.float64).eps)


def spread_words(values: Sequence[float]) -> str:
    """`1.97 in 1 run`, or `1.97 in the median (1.85 to 2.02 over 8 runs)`."""
    if len(values) == 1:
        return f"{values[0]:.3g} in 1 run"
    low, high = min(values), max(values)
    if f"{low:.3g}" == f"{high:.3g}":
        return f"{low:.3g} in all {len(values)} runs"
    return f"{float(np.median(values)):.3g} in the median ({low:.3g} to {high:.3g} over {len(values)} runs)"


def families(groups: Sequence[Group], *without: str) -> list[list[Group]]:
    """The problems that differ in nothing but these settings, in families of two or more."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(family_key(group, *without), []).append(group)
    return [family for family in found.values() if len(family) > 1]


def interval_over(runs: Sequence[Run], values: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the median of one value for each run; None where all runs have one seed."""
    return median_interval(values) if seeds_of(runs) > 1 else None


def power(exponent: float) -> str:
    """Two decimals, and no minus before a zero."""
    return f"{round(exponent, 2) + 0.0:.2f}"


def folders(runs: Sequence[Run]) -> tuple[str, ...]:
    """The names of the runs' folders, sorted, each once."""
    return tuple(sorted({run.path.name for run in runs}))


def seeds_of(runs: Sequence[Run]) -> int:
    """How many seeds the runs have."""
    return len({str(run.manifest.get("seed")) for run in runs})


def lacking(claim: str, statement: str, what: str, *, correction: str = "", runs: Sequence[Run] = ()) -> Claim:
    """The claim that the records do not suffice to judge; what: the sentence that says what they lack."""
    return Claim(claim, statement, Verdict.NOT_ENOUGH_DATA, what, correction, runs=folders(runs))
