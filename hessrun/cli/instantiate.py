"""Makes objects from configuration nodes: the only place that calls Hydra's `instantiate`."""

import inspect
import pydoc
from collections.abc import Callable, Mapping
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from hessrun.errors import HessrunError, OptionError
from hessrun.options import nearest


def locate(group: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """The class or function that `_target_` names. Raises OptionError where there is none."""
    target = node.get("_target_")
    if not isinstance(target, str) or not target:
        raise OptionError(f"{group}: needs a _target_, the dotted name of a class or function; got {target!r}.")
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport as error:
        raise OptionError(f"{group}._target_={target}: cannot be imported ({error.value!r}).") from error
    if found is None:
        raise OptionError(f"{group}._target_={target}: there is no such name, or its package is not installed.")
    if not callable(found):
        raise OptionError(f"{group}._target_={target}: is no class or function.")
    return found


def make(group: str, node: Mapping[str, Any], **extra: Any) -> Any:
    """Call the node's target with its keys and `extra`. Raises OptionError for keys it does not take."""
    check_keys(group, node, extra)
    return _call(group, node, extra)


def make_partial(group: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """The node's target with its keys bound, to be called later."""
    made: Callable[..., Any] = _call(group, {**node, "_partial_": True}, {})
    return made


def check_keys(group: str, node: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
    """Raise OptionError, with the nearest name and the list, for a key that the target does not take."""
    target = locate(group, node)
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    for key in [k for k in node if not k.startswith("_")] + list(extra or {}):
        if key not in parameters:
            known = [name for name in parameters if name not in (extra or {})]
            raise OptionError(
                f"{group}.{key}: {node['_target_']} takes no such option; it takes {', '.join(known)}."
                f"{nearest(key, known)}"
            )


def _call(group: str, node: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    locate(group, node)
    try:
        if not extra:
            return hydra.utils.instantiate(dict(node), _convert_="all")
        # Hydra would turn dataclasses among its own arguments into configurations: bind them afterwards.
        return hydra.utils.instantiate({**node, "_partial_": True}, _convert_="all")(**extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, HessrunError):
            raise type(cause)(f"{group}: {cause}") from error
        reason = " ".join(str(cause or error).split())
        raise OptionError(f"{group}: {node['_target_']} refuses its options ({reason}).") from error
