"""States as plain dictionaries of tensors and numbers, and back: what a checkpoint may hold without pickle."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from torch import Tensor

from hessrun.errors import RecordError


def to_plain(value: Any) -> Any:
    """Dataclasses become dictionaries and enumerations their values, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if value is None or isinstance(value, Tensor | int | float | str):
        return value
    raise TypeError(f"a state may hold tensors, numbers, words and dataclasses of them; got {type(value).__name__}")


def from_plain(kind: Any, value: Any) -> Any:
    """What `to_plain` was given, `kind` being its type.

    Raises RecordError where another version of hessrun wrote it, in which `kind` had other fields.
    """
    if value is None:
        return None
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (kind,) = (option for option in typing.get_args(kind) if option is not types.NoneType)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints, names = typing.get_type_hints(kind), {f.name for f in dataclasses.fields(kind)}
        if differing := sorted(names ^ value.keys()):
            raise RecordError(
                f"The checkpoint is of another version of hessrun, whose {kind.__name__} differs in "
                f"{', '.join(differing)}: go on with that version, which its manifest names, or run it anew with "
                "force=true."
            )
        return kind(**{f.name: from_plain(hints[f.name], value[f.name]) for f in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in a state."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            yield from tensors_in(getattr(value, f.name))
