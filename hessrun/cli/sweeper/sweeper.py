"""A basic sweep whose cells all run, whatever one of them meets; the command closes it with a table."""

import sys
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from hessrun import ranks
from hessrun.cli.outcomes import OUTCOMES
from hessrun.cli.side_by_side import side_by_side, value_of, with_shared_threads
from hessrun.errors import OptionError

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="hessrun",
    node=BasicSweeperConf(_target_="hydra_plugins.hessrun_sweeper.sweeper.HessrunSweeper"),
    provider="hessrun",
)


class HessrunSweeper(BasicSweeper):
    """The product of the sweep's overrides, or the cells of a suite under each of them.

    All are composed and checked before the first runs.

    Hydra's own sweeper writes multirun.yaml and stops at the first cell that raises; here the cells' outcomes are
    kept for the closing table (`hessrun.cli.outcomes`), also where a launcher ran them in other processes.
    """

    def sweep(self, arguments: list[str]) -> Any:
        if self.hydra_context is None or self.launcher is None:
            raise RuntimeError("a sweeper is set up before it sweeps")
        if ranks.place().size > 1 and not isinstance(self.launcher, BasicLauncher):
            raise OptionError("hydra/launcher: several ranks run a sweep's cells one after the other; use basic.")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        self.overrides = self.split_arguments(overrides, self.max_batch_size)
        if OUTCOMES.cells is not None:
            swept = [words for batch in self.overrides for words in batch]
            self.overrides = [[[*cell, *words] for words in swept for cell in OUTCOMES.cells]]
        OUTCOMES.expected = sum(len(batch) for batch in self.overrides)
        if isinstance(self.launcher, BasicLauncher):
            _compose_once(self.hydra_context.config_loader)
        from hessrun.cli.sweep_progress import shown

        launcher = self._config.hydra.launcher
        counts = [side_by_side(launcher, len(batch)) for batch in self.overrides]
        self.overrides = [with_shared_threads(*pair) for pair in zip(self.overrides, counts, strict=True)]
        cells = [words for batch in self.overrides for words in batch]
        returns, first = [], 0
        with shown([self._method(words) for words in cells], at_once=counts[0], show=self._shows(cells[0])):
            for batch in self.overrides:
                self.validate_batch_is_legal(batch)
                results = self.launcher.launch(batch, initial_job_idx=first)
                OUTCOMES.found.extend(result.return_value for result in results)
                first += len(batch)
                returns.append(results)
        return returns

    @property
    def _config(self) -> DictConfig:
        if self.config is None:
            raise RuntimeError("a sweeper is set up before it sweeps")
        return self.config

    def _method(self, words: Sequence[str]) -> str:
        return value_of(words, "optimizer") or str(self._config.hydra.runtime.choices.get("optimizer", ""))

    def _shows(self, words: Sequence[str]) -> bool:
        if value_of(words, "dry_run") == "true":
            return False
        progress = value_of(words, "progress") or str(self._config.progress)
        return progress == "on" or (progress == "auto" and sys.stderr.isatty())


def _compose_once(loader: ConfigLoader) -> None:
    """What was composed to check a cell is what the cell runs on: it takes a tenth of a second each."""
    compose, checked = loader.load_sweep_config, dict[tuple[str, ...], DictConfig]()

    def load_sweep_config(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        words = tuple(sweep_overrides)
        if words in checked:
            return checked.pop(words)
        checked[words] = found = compose(master_config, sweep_overrides)
        return found

    loader.load_sweep_config = load_sweep_config  # type: ignore[method-assign]
