"""The YAML files of suites: those that ship, in folders too (`reference/digits_mlp`), and a user's own.

A file holds either the cells of one suite (`hessrun.cli.cells`), or

parts: [reference/digits_linear, mine.yaml]     suites that run one after the other, each as if it ran alone

A part is a shipped suite's name, or a YAML file relative to the file that names it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hessrun.cli.listing import conf_folder, groups
from hessrun.errors import OptionError
from hessrun.options import nearest

_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class SuiteFile:
    """One suite of cells. name: that of the shipped suite, or of the file without its ending."""

    name: str
    content: dict[str, Any]


def shipped() -> list[str]:
    """The names of the suites that ship, sorted."""
    return list(groups()["suite"])


def read_suites(name: str) -> list[SuiteFile]:
    """The suite of that name or file, or its parts and theirs, in order.

    Raises OptionError for one that does not exist, cannot be read, or is a part of itself.
    """
    return list(_read(name, Path(), ()))


def _read(name: str, beside: Path, within: tuple[str, ...]) -> Iterator[SuiteFile]:
    is_file = name.endswith(_ENDINGS)
    path: Path | Traversable
    if is_file:
        path = beside / name
        key, shown = str(path.resolve()), path.name.removesuffix(path.suffix)
    else:
        path, key, shown = _shipped_file(name), name, name
    if key in within:
        raise OptionError(f"suite {name}: is a part of itself.")
    content = _content(path, name)
    if "parts" not in content:
        yield SuiteFile(shown, content)
        return
    parts = content["parts"]
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) for part in parts):
        raise OptionError(f"suite {name}: parts must be a list of the names of suites; got {parts!r}.")
    others = [key for key in content if key != "parts"]
    if others:
        raise OptionError(f"suite {name}: has parts, and so no {', '.join(others)} of its own.")
    for part in parts:
        yield from _read(part, path.parent if isinstance(path, Path) and is_file else Path(), (*within, key))


def _shipped_file(name: str) -> Traversable:
    known = shipped()
    if name not in known:
        near = nearest(name, known)
        raise OptionError(f"suite {name}: there is none; choose one of {', '.join(known)}, or a YAML file.{near}")
    file: Traversable = conf_folder() / "suite"
    for part in f"{name}.yaml".split("/"):
        file = file / part
    return file


def _content(path: Path | Traversable, name: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"suite {name}: cannot be read ({' '.join(str(error).split())}).") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise OptionError(f"suite {name}: must be a mapping with the key cells, or parts.")
    return found
