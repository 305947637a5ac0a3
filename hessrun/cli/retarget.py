"""`optimizer._target_=mypackage.Mine` on the command line: the chosen YAML's keys that belong to another class go."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hessrun.cli.instantiate import locate

_WRAPPER = ("batch_size", "schedule")


def retarget(config: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration without such keys, and group -> the name of the class put there.

    A key that the command line gives stays, so that a misspelt one is refused with its name.
    """
    given = [override.lstrip("+~").partition("=")[0] for override in overrides]
    names = {}
    for key in given:
        group, dot, rest = key.partition(".")
        if not dot or rest != "_target_" or not isinstance(config.get(group), Mapping):
            continue
        node = config[group]
        taken = _parameters(locate(group, node))
        kept = {
            name: value
            for name, value in node.items()
            if name.startswith("_") or name in taken or any(k.startswith(f"{group}.{name}") for k in given)
        }
        config = config | {group: kept}
        names[group] = str(node["_target_"]).rpartition(".")[2].lower()
    return config, names


def _parameters(target: Any) -> list[str]:
    try:
        return [*inspect.signature(target).parameters, *_WRAPPER]
    except (TypeError, ValueError):
        return list(_WRAPPER)
