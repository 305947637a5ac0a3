"""`hessrun list [GROUP]`: what can be chosen, with the line that each YAML begins with."""

import importlib.resources
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable

from hessrun.errors import OptionError
from hessrun.options import nearest


def conf_folder() -> Traversable:
    """The configuration that ships."""
    return importlib.resources.files("hessrun.conf")


def groups() -> dict[str, dict[str, str]]:
    """Group -> choice -> its one-line comment."""
    found: dict[str, dict[str, str]] = {}
    for folder in sorted(conf_folder().iterdir(), key=lambda entry: entry.name):
        if not folder.is_dir() or folder.name.startswith("_"):
            continue
        if choices := dict(sorted(_choices(folder, ""))):
            found[folder.name] = choices
    return found


def _choices(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    """Name and comment of each YAML of a folder; of one below it, with the folder's name: reference/wine."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _choices(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml"), _comment(entry)


def _comment(file: Traversable) -> str:
    # Hydra wants its own header, `# @package _global_`, above everything else.
    lines = (line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("# @"))
    first = next(lines, "")
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def list_groups(arguments: Sequence[str]) -> int:
    """Print all groups, or one of them."""
    found = groups()
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        raise OptionError(f"hessrun list takes one group or none: {', '.join(found)}.")
    for word in arguments:
        if word not in found:
            raise OptionError(f"'{word}' is no group: {', '.join(found)}.{nearest(word, found)}")
    for group in arguments or found:
        print(group)
        width = max(map(len, found[group]))
        for choice, comment in found[group].items():
            print(f"  {choice:<{width}}  {comment}")
    return 0
