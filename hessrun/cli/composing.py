"""A configuration composed from overrides in this process, without Hydra's own main."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hessrun.cli.app import register_own_experiments, register_sweeper
from hessrun.cli.messages import one_line
from hessrun.cli.retarget import retarget
from hessrun.errors import HessrunError


@dataclass(frozen=True)
class Composed:
    """What overrides make, not yet resolved. choices: group -> name."""

    words: tuple[str, ...]
    config: DictConfig
    choices: dict[str, str]

    def resolved(self, values: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
        """The configuration with `values` (dotted key -> value) put in, and its choices, as a run takes them.

        Raises HessrunError, one line, for a value that is missing, or a class that does not exist.
        """
        config = self.config.copy()
        try:
            for key, value in (values or {}).items():
                OmegaConf.update(config, key, value)
            found = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise HessrunError(one_line(error, self.words)) from error
        if not isinstance(found, dict):
            raise TypeError("a configuration is a mapping")
        plain, names = retarget({str(key): value for key, value in found.items()}, self.words)
        return plain, self.choices | names


def compose_words(words: Sequence[str], *, folders: Sequence[str] = ()) -> Composed:
    """Compose the configuration of the words. folders: of the user's own YAML files, searched before what ships.

    Raises HessrunError, one line, for words that are wrong.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    register_sweeper()
    register_own_experiments(words)
    search = [f"hydra.searchpath=[{','.join(f'file://{os.path.abspath(folder)}' for folder in folders)}]"]
    try:
        with initialize_config_module("hessrun.conf", version_base="1.3"):
            composed = compose("config", overrides=[*words, *(search if folders else [])], return_hydra_config=True)
        choices = {key.split("@")[0]: str(name) for key, name in composed.hydra.runtime.choices.items()}
    except (HydraException, OmegaConfBaseException) as error:
        raise HessrunError(one_line(error, words)) from error
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return Composed(tuple(words), own, choices)
