"""The words of a verb: paths, and options that take a value."""

from collections.abc import Sequence

from hessrun.errors import OptionError
from hessrun.options import nearest


def parse(arguments: Sequence[str], *, verb: str, options: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """(option -> value, paths). Raises OptionError for an unknown option or one without its value."""
    found: dict[str, str] = {}
    paths: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            paths.append(word)
        elif name not in options:
            raise OptionError(
                f"hessrun {verb}: there is no option {name}; there is {', '.join(options)}.{nearest(name, options)}"
            )
        else:
            found[name] = value if equals else next(words, "")
            if not found[name]:
                raise OptionError(f"hessrun {verb} {name}: needs a value.")
    return found, paths
