"""What a suite's `tuning` asks for: which methods are tuned, over what, and with which seeds.

tuning:
  trials: 12                        settings that each method is given; the first is the method as shipped
  seeds: [1000, 1001]               runs of each setting; none of them may be a seed of the suite's cells
  sampler_seed: 0                   of the settings that are drawn
  select: validation_loss           or train_loss, gradient_norm: what is made least
  overrides: [budget.passes=60]     of these runs alone; without any, they have the budget of the cells

Of a run, the lowest recorded value within the budget counts; of a setting, the median over the seeds; a run that
diverges or fails is infinite. Where a problem has no validation split, the training loss is selected on.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hessrun.cli.build import identity
from hessrun.cli.cells import Cell
from hessrun.cli.composing import Composed, compose_words
from hessrun.cli.search_space import SearchSpace, Value, combinations, parse_space
from hessrun.errors import OptionError
from hessrun.options import choice, integer, nearest

SELECT = ("validation_loss", "train_loss", "gradient_norm")


@dataclass(frozen=True)
class Tuning:
    """The section, checked; the fields are its keys."""

    trials: int
    seeds: tuple[int, ...]
    sampler_seed: int = 0
    select: str = "validation_loss"
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    """One method to tune: what the cells have in common that differ in their seed alone.

    name: the optimizer's, and what tells it from others of the same name; words: the overrides of its cells, less the
    seed; composed: with those of tuning; space: what is searched; start: the settings as shipped, where they lie in
    it; trials: how many settings are tried, 0 where there is nothing to search; digest: of all that decides them.
    """

    name: str
    words: tuple[str, ...]
    composed: Composed
    space: SearchSpace
    start: dict[str, Value] | None
    trials: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """The tuning of one suite. folder: of its study, its winners and its runs."""

    suite: str
    tuning: Tuning
    arms: tuple[Arm, ...]
    folder: Path


def parse_tuning(node: object, name: str) -> Tuning:
    """The `tuning` of the suite `name`. Raises OptionError, one line, for whatever is wrong."""
    where = f"suite {name}: tuning"
    if not isinstance(node, Mapping):
        raise OptionError(f"{where} must be a mapping such as {{trials: 12, seeds: [1000, 1001]}}; got {node!r}.")
    known = [f.name for f in fields(Tuning)]
    for key in node:
        if key not in known:
            raise OptionError(f"{where}: '{key}' is no key of it: {', '.join(known)}.{nearest(str(key), known)}")
    for key in ("trials", "seeds"):
        if key not in node:
            raise OptionError(f"{where}: needs {key}, such as {{trials: 12, seeds: [1000, 1001]}}.")
    integer(f"{where}.trials", node["trials"], minimum=1)
    seeds, overrides = node["seeds"], node.get("overrides") or []
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise OptionError(f"{where}.seeds={seeds!r}: must be a list of different seeds.")
    for seed in seeds:
        integer(f"{where}.seeds", seed, minimum=0)
    integer(f"{where}.sampler_seed", node.get("sampler_seed", 0), minimum=0)
    choice(f"{where}.select", node.get("select", SELECT[0]), SELECT)
    if not isinstance(overrides, list) or not all(isinstance(word, str) and "=" in word for word in overrides):
        raise OptionError(f"{where}.overrides: must be a list of overrides, such as [budget.passes=60].")
    return Tuning(**{**node, "seeds": tuple(seeds), "overrides": tuple(overrides)})


def plan_tuning(
    name: str, tuning: Tuning, cells: Sequence[Cell], words: Sequence[str], folders: Sequence[str] = ()
) -> Plan:
    """What is to be tuned for the cells under the overrides `words`, none of which is of a seed.

    folders: of the user's own YAML files. Raises HessrunError, one line, for words or a search space that are wrong.
    """
    grouped: dict[tuple[str, ...], Cell] = {}
    for cell in cells:
        grouped.setdefault(seedless(cell.words), cell)
    # The last of two words on the same key holds.
    composed = [compose_words([*key, *words, *tuning.overrides], folders=folders) for key in grouped]
    names = _names(list(grouped), [found.choices["optimizer"] for found in composed])
    arms = [
        _arm(label, key, found, cell, tuning, name)
        for label, key, found, cell in zip(names, grouped, composed, grouped.values(), strict=True)
    ]
    folders_of = {Path(str(arm.composed.config.outputs)) / str(arm.composed.config.experiment) for arm in arms}
    if len(folders_of) > 1:
        told = ", ".join(sorted(map(str, folders_of)))
        raise OptionError(f"suite {name}: its cells are tuned together, and need one experiment; they have {told}.")
    return Plan(name, tuning, tuple(arms), folders_of.pop() / "tuning")


def seedless(words: Sequence[str]) -> tuple[str, ...]:
    """The words less that of the seed."""
    return tuple(word for word in words if key_of(word) != "seed")


def key_of(word: str) -> str:
    """The key that an override is of."""
    return word.lstrip("+~").partition("=")[0]


def _names(words: Sequence[tuple[str, ...]], optimizers: Sequence[str]) -> list[str]:
    """The optimizers' names; where one stands twice, with the words that not all of its name have."""
    counts = Counter(optimizers)
    shared: dict[str, set[str]] = {}
    for own, name in zip(words, optimizers, strict=True):
        shared[name] = shared.get(name, set(own)) & set(own)
    return [
        " ".join([name, *(word for word in own if counts[name] > 1 and word not in shared[name])])
        for own, name in zip(words, optimizers, strict=True)
    ]


def _arm(label: str, words: tuple[str, ...], composed: Composed, cell: Cell, tuning: Tuning, name: str) -> Arm:
    optimizer = OmegaConf.to_container(composed.config.optimizer, resolve=True)
    if not isinstance(optimizer, dict):
        raise OptionError(f"suite {name}: {label}: its optimizer is no mapping.")
    shipped = parse_space(optimizer.get("search_space"), f"optimizer={label} search_space")
    where = f"suite {name}: {label} search_space"
    own = parse_space(cell.search_space, where)
    without = [key for key, entry in cell.search_space.items() if entry is None]
    fixed = {key_of(word) for word in composed.words}
    space = {
        key: found for key, found in (shipped | own).items() if key not in without and f"optimizer.{key}" not in fixed
    }
    start = {key: _value(composed, key, list(map(str, optimizer)), where) for key in space}
    trials = 0
    if space:
        all_of_them = combinations(space)
        trials = tuning.trials if all_of_them is None else min(tuning.trials, len(all_of_them))
    return Arm(
        name=label,
        words=words,
        composed=composed,
        space=space,
        start=start if all(start[key] in found for key, found in space.items()) else None,
        trials=trials,
        digest=_digest(composed, space, tuning),
    )


def _value(composed: Composed, key: str, options: Sequence[str], where: str) -> Any:
    """What the configuration has at the key; OptionError where it has no such key."""
    absent = object()
    found = OmegaConf.select(composed.config, f"optimizer.{key}", default=absent)
    if found is absent:
        known = [name for name in options if not name.startswith("_") and name != "search_space"]
        raise OptionError(
            f"{where}.{key}: there is no such option; its optimizer takes {', '.join(known)}.{nearest(key, known)}"
        )
    return found


def _digest(composed: Composed, space: SearchSpace, tuning: Tuning) -> str:
    """Of all that decides a method's trials, but for their number: more of them go on with the same study."""
    config, _ = composed.resolved({"seed": 0})
    decisive = {
        "run": identity(config),
        "budget": config["budget"],
        "log_every": config["log_every"],
        "space": {key: repr(found) for key, found in space.items()},
        "tuning": [tuning.seeds, tuning.sampler_seed, tuning.select],
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()[:12]
