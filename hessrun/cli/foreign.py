"""Optimizers of torch's and third parties' from configuration: no class is called before its parameters exist."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from hessrun.cli.instantiate import locate, make
from hessrun.errors import OptionError
from hessrun.optimizers import TorchOptimizer
from hessrun.optimizers.parts import Algorithm, Part

_OURS = ("batch_size", "schedule", "parts")


def is_foreign(target: Any) -> bool:
    """A torch.optim.Optimizer class, or the `TorchOptimizer` that runs such classes."""
    return inspect.isclass(target) and issubclass(target, torch.optim.Optimizer | TorchOptimizer)


def make_foreign(node: Mapping[str, Any]) -> TorchOptimizer:
    """The optimizer of a node whose `_target_` is a torch.optim.Optimizer class, or a TorchOptimizer of `parts` alone.

    A part is a mapping of `pattern`, `ndim`, a `_target_` of its own where it has one, and its settings. Raises
    OptionError for whatever is wrong.
    """
    target = locate("optimizer", node)
    algorithm: Algorithm | None = target if issubclass(target, torch.optim.Optimizer) else None  # type: ignore[arg-type]
    if algorithm is None and not node.get("parts"):
        raise OptionError("optimizer.parts: needs parts; for one algorithm, _target_ is its class.")
    given: dict[str, Any] = {}
    if node.get("schedule") is not None:
        given["schedule"] = make("optimizer.schedule", node["schedule"])
    if node.get("parts") is not None:
        given["parts"] = _parts(node["parts"])
    settings = _settings("optimizer", {key: value for key, value in node.items() if key not in _OURS})
    return TorchOptimizer(algorithm, settings, node.get("batch_size"), **given)


def _parts(nodes: Any) -> list[Part]:
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        raise OptionError(f"optimizer.parts={nodes!r}: must be a list of mappings such as {{pattern: '*.bias', lr: 1}}")
    made = []
    for position, node in enumerate(nodes):
        group = f"optimizer.parts.{position}"
        algorithm = locate(group, node) if "_target_" in node else None
        if algorithm is not None and not (inspect.isclass(algorithm) and issubclass(algorithm, torch.optim.Optimizer)):
            raise OptionError(f"{group}._target_={node['_target_']}: must be a torch.optim.Optimizer class.")
        rest = {key: value for key, value in node.items() if key not in ("pattern", "ndim")}
        made.append(Part(node.get("pattern", "*"), node.get("ndim"), algorithm, _settings(group, rest)))
    return made


def _settings(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Its keys, with what has a `_target_` itself made."""
    return {
        key: make(f"{group}.{key}", value) if isinstance(value, Mapping) and "_target_" in value else value
        for key, value in node.items()
        if not key.startswith("_")
    }
