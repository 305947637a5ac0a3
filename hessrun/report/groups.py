"""Sorts runs: by problem, then by optimizer and its settings; the seeds are the repetitions."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from hessrun.record import Run
from hessrun.record.rows import Rows
from hessrun.record.schema import PASSES

Array = npt.NDArray[np.float64]
T = TypeVar("T")
P = ParamSpec("P")
FIRST_ORDER = ("gd", "sgd", "adam", "adamw", "muon", "rmsprop", "adagrad")
HESSIAN = (
    *("newton", "newton_trust", "newton_cg", "newton_cg_line_search", "gauss_newton"),
    *("bfgs", "dfp", "broyden", "ssbfgs", "sr1"),
    *("lbfgs", "lbfgs_multibatch", "torch_lbfgs"),
)
_PROBLEM_PARTS = ("problem", "model", "dataset", "loss")
_OWN_SEEDS = ("problem.seed", "details.seed")
_WHERE_DATA_LIE = ("data_dir", "source", "root", "path")


def column(run: Run, name: str) -> Array:
    """A column of a run's trace, [rows]; nan where a row lacks it or holds no number. `passes` sums the four kinds."""
    if name == "passes":
        kinds = np.array([column(run, kind) for kind in PASSES])
        # Rows that hold none of them do not say that nothing was spent.
        return np.where(np.isnan(kinds).all(axis=0), np.nan, np.nansum(kinds, axis=0))
    if isinstance(run.trace, Rows):
        return run.trace.column(name)
    values = (row.get(name) for row in run.trace)
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values])


def once_a_group(function: Callable[Concatenate["Group", P], T]) -> Callable[Concatenate["Group", P], T]:
    """The function, its results kept for as long as the group lives: a group does not change.

    The results must not hold the group itself; further arguments are hashable.
    """
    kept: WeakKeyDictionary[Group, dict[tuple[object, ...], T]] = WeakKeyDictionary()

    @wraps(function)
    def found(group: Group, /, *args: P.args, **named: P.kwargs) -> T:
        results, asked = kept.setdefault(group, {}), (*args, *sorted(named.items()))
        if asked not in results:
            results[asked] = function(group, *args, **named)
        return results[asked]

    return found


def is_tuning(run: Run) -> bool:
    """A trial of a search for settings, on seeds of its own: no part of any comparison."""
    return run.manifest.get("role") == "tuning"


def end_word(run: Run) -> str:
    """The status that a run ended with, or the coarse state where it has none."""
    return str(run.status.get("status", run.state))


def seed_of(run: Run) -> str:
    """The run's seed as a word; a run without one has its folder's name for it, and is paired with nothing."""
    seed = run.manifest.get("seed")
    return str(run.path) if seed is None else f"seed {seed}"


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
    def compared(self) -> tuple[Run, ...]:
        """The runs that comparisons go by: those that finished or diverged, else those cut short; no failed ones.

        A run cut short at its start, or one that failed, would set a budget at which nobody has moved. Of a failure
        nobody knows whether the method was its cause: it is told, and no miss.
        """
        ended = tuple(run for run in self.runs if run.state in ("finished", "diverged"))
        return ended or tuple(run for run in self.runs if run.state != "failed" and len(run.trace) > 1)

    @property
    def is_diagnosed(self) -> bool:
        """Its rows say how far the method's matrix is from the Hessian: the same steps, and rows that cost more."""
        return any((run.config.get("optimizer") or {}).get("diagnose") is True for run in self.runs)

    @property
    def is_comparable(self) -> bool:
        """It has runs to compare, and minimises the objective itself, not another function."""
        return bool(self.compared) and self.minimises_objective

    @property
    def minimises_objective(self) -> bool:
        """The function recorded as training loss is the one that the method minimises."""
        return all(
            r.manifest.get("optimizer", {}).get("minimises", "the objective") == "the objective" for r in self.runs
        )


@dataclass(frozen=True, eq=False)
class Group:
    """One problem and all that was run on it."""

    title: str
    n_parameters: int
    n_examples: int
    known_minimum: float | None
    entries: tuple[Entry, ...]
    repeated: tuple[str, ...] = ()
    """One line for each run left out, since another one of the same settings and seed stands for it."""

    @property
    def details(self) -> dict[str, Any]:
        """The problem's settings as the manifest has them, for example `condition_number` of a quadratic."""
        return dict(self.runs[0].manifest.get("problem", {}).get("details") or {})

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for entry in self.entries for run in entry.runs)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as `optimizer.lr`."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}" if prefix else key).items()}


def _settings(run: Run) -> dict[str, Any]:
    """What sets runs of one optimizer apart: its options, the precision and the device."""
    return flat(run.config.get("optimizer") or {}) | {key: run.manifest.get(key) for key in ("dtype", "device")}


def _problem_settings(run: Run) -> dict[str, Any]:
    """All that makes a problem: the manifest's facts, and the configuration less where the data lie.

    Facts alone would take tanh and relu, or two quadratics of one size, for repetitions of one run.
    """
    parts = flat({key: run.config[key] for key in _PROBLEM_PARTS if key in run.config})
    configured = {key: value for key, value in parts.items() if key.rsplit(".", 1)[-1] not in _WHERE_DATA_LIE}
    version = {"protocol": run.manifest["protocol"]} if "protocol" in run.manifest else {}
    return flat(run.manifest.get("problem", {})) | configured | version


def family_key(group: "Group", *without: str) -> str:
    """What problems have in common that differ in nothing but these settings, each named by its last word."""
    settings = _problem_settings(group.runs[0])
    kept = {key: value for key, value in settings.items() if key.rsplit(".", 1)[-1] not in without}
    return _problem_key({key: value for key, value in kept.items() if key not in _OWN_SEEDS})


def _problem_key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


def _by_problem(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each problem. Where its own seed is the run's, in all of them, it makes repetitions, not problems."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        alike[_problem_key({k: v for k, v in _problem_settings(run).items() if k not in _OWN_SEEDS})].append(run)
    members: dict[str, list[Run]] = defaultdict(list)
    for key, found in alike.items():
        settings = [_problem_settings(run) for run in found]
        follows = all(
            own[k] == run.manifest.get("seed")
            for own, run in zip(settings, found, strict=True)
            for k in _OWN_SEEDS
            if k in own
        )
        for own, run in zip(settings, found, strict=True):
            members[key if follows else _problem_key(own)].append(run)
    return [found for _, found in sorted(members.items())]


def _title(run: Run) -> str:
    problem = run.manifest.get("problem", {})
    decay = problem.get("details", {}).get("weight_decay")
    return str(problem.get("name", "unknown problem")) + (f", weight decay {decay}" if decay else "")


def _titles(firsts: Sequence[Run]) -> list[str]:
    """A title for each problem; problems of the same title are told apart by the settings in which they differ."""
    titles = []
    for run in firsts:
        same = [_problem_settings(other) for other in firsts if _title(other) == _title(run)]
        own = _problem_settings(run)
        differing = [key for key in sorted(own) if any(other.get(key) != own[key] for other in same)]
        said = {"fingerprint"} | ({"n_parameters"} if any(key.endswith(".n") for key in differing) else set())
        told = [key for key in differing if key.rsplit(".", 1)[-1] not in said] or differing
        # The manifest's details repeat options of the configuration: each is said once, by its last word.
        suffix = ", ".join(dict.fromkeys(f"{key.rsplit('.', 1)[-1]}={own[key]}" for key in told))
        titles.append(f"{_title(run)} ({suffix})" if suffix else _title(run))
    return titles


def _one_per_seed(runs: Sequence[Run]) -> tuple[tuple[Run, ...], list[Run]]:
    """For each seed the run that ended, went furthest and is newest; and the others. A run without a seed is kept."""

    def standing(run: Run) -> tuple[bool, float, str]:
        ended = run.state in ("finished", "diverged")
        return ended, float(np.nanmax(column(run, "step"), initial=0)), str(run.manifest.get("created"))

    by_seed: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_seed[seed_of(run)].append(run)
    kept = tuple(max(same, key=standing) for same in by_seed.values())
    return kept, [run for run in runs if all(run is not other for other in kept)]


def _entries(runs: Sequence[Run]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    by_name: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        name = str(run.manifest.get("optimizer", {}).get("name", "unknown"))
        by_name[name][json.dumps(_settings(run), sort_keys=True, default=str)].append(run)
    entries: list[Entry] = []
    repeated: list[str] = []
    for name, variants in sorted(by_name.items(), key=lambda item: (item[0] not in FIRST_ORDER, item[0])):
        settings = [_settings(found[0]) for found in variants.values()]
        keys = sorted({key for s in settings for key in s})
        differing = [key for key in keys if len({json.dumps(s.get(key), default=str) for s in settings}) > 1]
        for own, found in zip(settings, variants.values(), strict=True):
            told = [key for key in differing if key in own and not (key == "diagnose" and own[key] is False)]
            suffix = ", ".join(f"{key}={own[key]}" for key in told)
            label = f"{name} ({suffix})" if suffix else name
            kept, others = _one_per_seed(found)
            entries.append(Entry(label, name, kept))
            repeated += [f"{r.path.name}: repeats seed {r.manifest.get('seed')} of {label}; left out." for r in others]
    return tuple(entries), tuple(repeated)


def grouped(runs: Sequence[Run]) -> list[Group]:
    """The runs that hold rows, grouped by problem: its facts, its configuration and the protocol, alike within a group.

    Runs of a search for settings are left out.
    """
    groups = []
    members = _by_problem([run for run in runs if run.trace and not is_tuning(run)])
    for title, found in zip(_titles([found[0] for found in members]), members, strict=True):
        problem = found[0].manifest.get("problem", {})
        entries, repeated = _entries(found)
        groups.append(
            Group(
                title=title,
                n_parameters=int(problem.get("n_parameters") or 0),
                n_examples=int(problem.get("n_examples") or 0),
                known_minimum=problem.get("known_minimum"),
                entries=entries,
                repeated=repeated,
            )
        )
    return groups
