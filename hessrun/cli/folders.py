"""Where runs may land: an experiment's name stays below `outputs`."""

from pathlib import PurePath

from hessrun.errors import OptionError


def require_below(experiment: str) -> None:
    """Raise OptionError unless the name of an experiment is that of a folder below `outputs`; a/b is one below a."""
    place = PurePath(experiment)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise OptionError(f"experiment={experiment!r}: must stay below outputs: a name, or names with / between.")
