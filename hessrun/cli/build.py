"""From a resolved configuration to an experiment."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml

from hessrun.cli.device import device_of, dtype_of, prepare_host
from hessrun.cli.folders import require_below
from hessrun.cli.foreign import is_foreign, make_foreign
from hessrun.cli.instantiate import check_keys, locate, make, make_partial
from hessrun.errors import OptionError
from hessrun.optimizers import Optimizer
from hessrun.options import boolean, choice, finite, integer
from hessrun.problems import AnalyticProblem, Problem, ProblemFacts
from hessrun.problems.datasets.data import Data
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.foreign import TorchDataset
from hessrun.record.protocol import ROLES
from hessrun.run import Budget, Experiment, Probe
from hessrun.run.loggers import NoLogger
from hessrun.run.provenance import provenance
from hessrun.run.recording import CheckpointPlan

# What cannot change the path that a run takes, and so is no part of its identity.
_NOT_IDENTITY = (
    "logger",
    "on_error",
    "dry_run",
    "outputs",
    "experiment",
    "progress",
    "force",
    "log_every",
    "threads",
    "rank_timeout",
    "budget",
    "curvature",
    "checkpoints",
    "target",
    "protocol",
)
# What every run is made of, and what one on data is made of besides.
_WHOLE = (
    *("problem", "optimizer", "budget", "curvature", "logger", "checkpoints", "protocol"),
    *("experiment", "outputs", "seed", "dtype", "device", "threads", "rank_timeout"),
    *("log_every", "target", "progress", "force", "on_error", "dry_run"),
)
_OF_DATA = ("dataset", "model", "loss")


def run_id(config: Mapping[str, Any], label: str, problem_name: str) -> str:
    """`optimizer-problem-s<seed>-<hash8>`; the hash is of all that can change the path taken."""
    digest = hashlib.sha256(json.dumps(identity(config), sort_keys=True, default=str).encode()).hexdigest()
    # The name of a class, or of a file of the user's, may hold a separator of paths.
    name = re.sub(r"[^\w.+=-]", "-", f"{label}-{problem_name}")
    return f"{name}-s{config['seed']}-{digest[:8]}"


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that can change the path taken."""
    kept = {key: value for key, value in without_search_space(config).items() if key not in _NOT_IDENTITY}
    if isinstance(kept.get("dataset"), Mapping):
        # Where the files lie is no part of what they hold, nor is how they are read.
        ways = ("data_dir", "source", "in_memory", "workers")
        kept["dataset"] = {k: v for k, v in kept["dataset"].items() if k not in ways}
    kept["device"] = str(kept.get("device")).partition(":")[0]
    return kept


def without_search_space(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration less what tuning alone reads."""
    node = config.get("optimizer")
    if not isinstance(node, Mapping):
        return dict(config)
    return {**config, "optimizer": {key: value for key, value in node.items() if key != "search_space"}}


def build(config: dict[str, Any], choices: Mapping[str, str]) -> Experiment:
    """The experiment of a resolved configuration; `choices` are the names picked from the groups.

    Raises HessrunError, one line, for whatever is wrong; writes nothing.
    """
    _require_whole(config)
    config = without_search_space(config)
    integer("seed", config["seed"], minimum=0)
    integer("log_every", config["log_every"], minimum=1)
    choice("progress", config["progress"], ("auto", "on", "off"))
    boolean("force", config["force"])
    boolean("dry_run", config["dry_run"])
    choice("on_error", config["on_error"], ("continue", "stop"))
    for name in ("outputs", "experiment"):
        if not isinstance(config[name], str) or not config[name]:
            raise OptionError(f"{name}={config[name]!r}: must be a folder's name.")
    require_below(config["experiment"])
    _check_protocol(config["target"], config["protocol"])
    dtype, device = dtype_of(config["dtype"]), device_of(config["device"])
    prepare_host(config["threads"])
    optimizer = build_optimizer(config["optimizer"])
    budget = _of_type(Budget, "budget", make("budget", config["budget"]))
    probe = _of_type(Probe, "curvature", make("curvature", config["curvature"]))
    problem = build_problem(config, choices, dtype, device)
    label = choices.get("optimizer", "optimizer")
    name = run_id(config, label, problem.facts.name)
    facts = problem.facts
    manifest = {
        "run_id": name,
        "experiment": config["experiment"],
        "optimizer": {
            "name": label,
            "target": config["optimizer"]["_target_"],
            "minimises": optimizer.minimises,
        },
        "problem": {
            "name": facts.name,
            "kind": facts.kind,
            "n_parameters": facts.n_parameters,
            "n_examples": facts.n_examples,
            "known_minimum": facts.known_minimum,
            "details": facts.details,
        },
        "seed": config["seed"],
        "dtype": config["dtype"],
        "target": config["target"],
        "suite": config["protocol"]["suite"],
        "role": config["protocol"]["role"],
        **provenance(problem.x0.device),
        "concurrent": _launcher(choices) != "basic",
        "warnings": _warnings(choices),
    }
    return Experiment(
        problem=problem,
        optimizer=optimizer,
        budget=budget,
        probe=probe,
        folder=Path(config["outputs"]) / config["experiment"] / name,
        config=yaml.safe_dump(config, sort_keys=False),
        manifest=manifest,
        log_every=config["log_every"],
        checkpoints=_of_type(CheckpointPlan, "checkpoints", make("checkpoints", config["checkpoints"])),
        logger=_of_type(NoLogger, "logger", make("logger", config["logger"])),
    )


def _check_protocol(target: object, protocol: Mapping[str, Any]) -> None:
    if target is not None:
        finite("target", target)
    choice("protocol.role", protocol["role"], ROLES)
    if not isinstance(protocol["suite"], str | None):
        raise OptionError(f"protocol.suite={protocol['suite']!r}: must be a suite's name, or null.")


def _launcher(choices: Mapping[str, str]) -> str:
    return choices.get("hydra/launcher", "basic")


def _warnings(choices: Mapping[str, str]) -> list[str]:
    launcher = _launcher(choices)
    if launcher == "basic":
        return []
    return [f"Started by the launcher {launcher}: other cells may have run beside it, and its seconds tell little."]


def _require_whole(config: Mapping[str, Any]) -> None:
    needed = _WHOLE + (_OF_DATA if any(name in config for name in _OF_DATA) else ())
    missing = [name for name in needed if name not in config]
    if missing:
        raise OptionError(
            f"{', '.join(missing)}: missing from the configuration, which it is a part of: leave out ~{missing[0]}."
        )


def build_optimizer(node: dict[str, Any]) -> Optimizer[Any]:
    """A method of ours, or torch.optim.Optimizer classes, wrapped."""
    if is_foreign(locate("optimizer", node)):
        return make_foreign(node)
    optimizer: Optimizer[Any] = _of_type(Optimizer, "optimizer", make("optimizer", node))
    return optimizer


def build_problem(
    config: Mapping[str, Any], choices: Mapping[str, str], dtype: torch.dtype, device: torch.device
) -> Problem:
    """The supervised or analytic problem of a configuration."""
    node = config["problem"]
    if "dataset" not in config:
        made = make("problem", node, dtype=dtype, device=device)
        if isinstance(made, Problem):
            return made
        name = choices.get("problem", "problem")
        details = {key: value for key, value in node.items() if not key.startswith("_")}
        facts = ProblemFacts(name, "analytic", len(made.x0), 1, made.minimum, details)
        return AnalyticProblem(made.objective, made.x0, facts)
    check_keys("model", config["model"])
    problem: Problem = _of_type(
        Problem,
        "problem",
        make(
            "problem",
            node,
            dataset=_shared(make("dataset", config["dataset"])),
            model=make_partial("model", config["model"]),
            loss=make("loss", config["loss"]),
            seed=config["seed"],
            dtype=dtype,
            device=device,
        ),
    )
    return problem


def _shared(dataset: Any) -> Any:
    """The dataset, or its splits, which the cells of one process then have in common: nobody writes to them."""
    is_ours = isinstance(dataset, Dataset) and not isinstance(dataset, TorchDataset)
    return _loaded(dataset) if is_ours and dataset.in_memory else dataset


@lru_cache(maxsize=1)
def _loaded(dataset: Dataset) -> Data:
    return dataset.load()


def _of_type(kind: Any, group: str, made: Any) -> Any:
    if not isinstance(made, kind):
        raise OptionError(f"{group}: must make a {kind.__name__}; it made a {type(made).__name__}.")
    return made
