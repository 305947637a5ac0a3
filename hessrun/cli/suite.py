"""`hessrun suite NAME [overrides]`: the cells of a YAML, each optimizer with a grid of its own."""

from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hessrun.cli.cells import expand
from hessrun.cli.listing import conf_folder
from hessrun.errors import OptionError
from hessrun.options import nearest


def suite(arguments: Sequence[str]) -> int:
    """Run the cells of conf/suite/NAME.yaml, or of a YAML file; overrides after the name hold for every cell."""
    if not arguments or arguments[0].startswith("-") or "=" in arguments[0]:
        raise OptionError(f"hessrun suite takes a name or a YAML file: {', '.join(_shipped())}.")
    name, words = arguments[0], list(arguments[1:])
    cells = expand(_read(name), name=name)
    from hessrun.cli.app import run_hydra
    from hessrun.cli.outcomes import OUTCOMES

    OUTCOMES.cells, OUTCOMES.command = cells, ["suite", *arguments]
    # Hydra sweeps over at least one word; this one says what holds anyway.
    return run_hydra(["-m", *(words or ["force=false"])])


def _shipped() -> list[str]:
    folder = conf_folder() / "suite"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _read(name: str) -> dict[str, Any]:
    import yaml

    known = _shipped()
    is_file = name.endswith((".yaml", ".yml"))
    if not is_file and name not in known:
        near = nearest(name, known)
        raise OptionError(f"suite {name}: there is none; choose one of {', '.join(known)}, or a YAML file.{near}")
    path: Path | Traversable = Path(name) if is_file else conf_folder() / "suite" / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"suite {name}: cannot be read ({' '.join(str(error).split())}).") from None
    if not isinstance(found, dict):
        raise OptionError(f"suite {name}: must be a mapping with the key cells.")
    return found
