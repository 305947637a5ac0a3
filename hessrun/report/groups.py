"""Sorts runs: by problem, then by optimizer and its settings; the seeds are the repetitions."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hessrun.record import Run

Array = npt.NDArray[np.float64]
FIRST_ORDER = ("gd", "sgd", "adam", "adamw", "rmsprop", "adagrad")
HESSIAN = (
    *("newton", "newton_trust", "newton_cg", "gauss_newton", "bfgs", "dfp", "broyden", "ssbfgs", "sr1"),
    *("lbfgs", "lbfgs_multibatch", "torch_lbfgs"),
)
PASSES = ("values", "gradients", "products", "hessian_columns")
_PROBLEM_DETAILS = ("dataset", "model", "loss", "task", "n_outputs", "splits", "weight_decay")


def column(run: Run, name: str) -> Array:
    """A column of a run's trace, [rows]; nan where a row lacks it or holds no number. `passes` sums the four kinds."""
    if name == "passes":
        return np.asarray(np.nansum([column(run, kind) for kind in PASSES], axis=0), dtype=float)
    values = (row.get(name) for row in run.trace)
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values])


def end_word(run: Run) -> str:
    """The status that a run ended with, or the coarse state where it has none."""
    return str(run.status.get("status", run.state))


@dataclass(frozen=True)
class Entry:
    """One optimizer with one set of settings: its runs, one or more seeds."""

    label: str
    name: str
    runs: tuple[Run, ...]

    @property
    def is_first_order(self) -> bool:
        """A method that uses gradients alone, by its name."""
        return self.name in FIRST_ORDER

    @property
    def is_hessian_method(self) -> bool:
        """A method that uses or builds a Hessian, by its name; a user's own name is neither this nor first order."""
        return self.name in HESSIAN

    @property
    def is_comparable(self) -> bool:
        """It minimises the objective itself, not another function."""
        return all(
            r.manifest.get("optimizer", {}).get("minimises", "the objective") == "the objective" for r in self.runs
        )


@dataclass(frozen=True)
class Group:
    """One problem and all that was run on it."""

    title: str
    n_parameters: int
    n_examples: int
    known_minimum: float | None
    entries: tuple[Entry, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for entry in self.entries for run in entry.runs)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}" if prefix else key).items()}


def _settings(run: Run) -> dict[str, Any]:
    """What sets runs of one optimizer apart: its options, the precision and the device."""
    return _flat(run.config.get("optimizer") or {}) | {key: run.manifest.get(key) for key in ("dtype", "device")}


def _problem_key(run: Run) -> str:
    problem = run.manifest.get("problem", {})
    facts = {key: problem.get("details", {}).get(key) for key in _PROBLEM_DETAILS}
    return json.dumps(
        [problem.get("name"), problem.get("n_parameters"), problem.get("n_examples"), facts], sort_keys=True
    )


def _entries(runs: Sequence[Run]) -> tuple[Entry, ...]:
    by_name: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        name = str(run.manifest.get("optimizer", {}).get("name", "unknown"))
        by_name[name][json.dumps(_settings(run), sort_keys=True, default=str)].append(run)
    entries = []
    for name, variants in sorted(by_name.items(), key=lambda item: (item[0] not in FIRST_ORDER, item[0])):
        settings = [_settings(found[0]) for found in variants.values()]
        keys = sorted({key for s in settings for key in s})
        differing = [key for key in keys if len({json.dumps(s.get(key), default=str) for s in settings}) > 1]
        for own, found in zip(settings, variants.values(), strict=True):
            suffix = ", ".join(f"{key}={own[key]}" for key in differing if key in own)
            entries.append(Entry(f"{name} ({suffix})" if suffix else name, name, tuple(found)))
    return tuple(entries)


def grouped(runs: Sequence[Run]) -> list[Group]:
    """The runs that hold rows, grouped by problem (name, sizes, dataset, model, loss, splits, weight decay)."""
    by_problem: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.trace:
            by_problem[_problem_key(run)].append(run)
    groups = []
    for _, found in sorted(by_problem.items()):
        problem = found[0].manifest.get("problem", {})
        decay = problem.get("details", {}).get("weight_decay")
        title = str(problem.get("name", "unknown problem")) + (f", weight decay {decay}" if decay else "")
        groups.append(
            Group(
                title=title,
                n_parameters=int(problem.get("n_parameters") or 0),
                n_examples=int(problem.get("n_examples") or 0),
                known_minimum=problem.get("known_minimum"),
                entries=_entries(found),
            )
        )
    return groups
