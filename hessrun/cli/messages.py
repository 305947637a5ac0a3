"""Hydra's and OmegaConf's errors as one line: what was wrong, what is allowed, what to do."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf.errors import MissingMandatoryValue

from hessrun.cli.listing import groups
from hessrun.options import nearest

# Groups that are no options by themselves.
_OF_AN_OPTIMIZER = ("schedule", "line_search")


def one_line(error: Exception, words: Sequence[str]) -> str:
    """The line for an error that Hydra raised on these words."""
    text = " ".join(str(error).split())
    missing = re.search(r"Could not find '([\w./-]+)/([^'/]*)'", text)
    if missing:
        return _no_such_choice(*missing.groups())
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        return _no_such_option(key[1], words)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: needs a value; give it as {error.full_key}=..."
    return text.split(" See https")[0].split(" Set the environment")[0] or type(error).__name__


def _no_such_choice(group: str, name: str) -> str:
    known = groups().get(group)
    if known is None:
        return _no_such_option(group, ())
    return f"{group}={name}: there is none; choose one of {', '.join(known)}.{nearest(name, known)}"


def _no_such_option(key: str, words: Sequence[str]) -> str:
    group, _, rest = key.partition(".")
    found = groups()
    if group in _OF_AN_OPTIMIZER and not rest:
        names = ", ".join(found[group])
        return f"{group}: is a part of some optimizers: write {group}@optimizer.{group}=NAME, one of {names}."
    top = {*found, *_keys(_config()), "dataset", "model", "loss"} - {*_OF_AN_OPTIMIZER, "hydra", "defaults"}
    if not rest or group not in found:
        return f"'{group}': there is no such option; there are {', '.join(sorted(top))}.{nearest(group, top)}"
    # The last word that chooses from the group; where none does, whatever any choice takes.
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")][-1:]
    choices = [choice for choice in chosen if choice in found[group]] or found[group]
    keys = sorted({key for choice in choices for key in _keys(_choice(group, choice))})
    return (
        f"{key}: there is no such option; {'='.join([group, *chosen])} takes {', '.join(keys)}."
        f"{nearest(rest.split('.')[0], keys)} Use +{key}=... to add a key for a class of your own."
    )


def _keys(node: Mapping[str, Any]) -> list[str]:
    nested = [
        entry_name.partition("@")[2] or entry_name.strip("/")
        for entry in node.get("defaults", [])
        if isinstance(entry, dict)
        for entry_name in entry
        if not entry_name.startswith("override") and not entry_name.endswith("_global_.dataset")
    ]
    own = [key for key in node if not key.startswith("_") and key not in ("defaults", "search_space")]
    return own + [name for name in nested if "." not in name]


def _choice(group: str, name: str) -> Mapping[str, Any]:
    return _yaml(f"{group}/{name}.yaml")


def _config() -> Mapping[str, Any]:
    return _yaml("config.yaml")


def _yaml(path: str) -> Mapping[str, Any]:
    import yaml

    from hessrun.cli.listing import conf_folder

    content = yaml.safe_load(conf_folder().joinpath(path).read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
