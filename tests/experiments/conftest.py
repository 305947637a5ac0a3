"""Runs a shipped experiment and reads its record."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hessrun.cli.app import register_sweeper
from hessrun.cli.build import build
from hessrun.record import Run, read_run
from hessrun.run import run_experiment

register_sweeper()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """`run("outliers", "seed=1")`: the record of the experiment with these overrides."""

    def run(name: str, *overrides: str) -> Run:
        words = [f"experiment={name}", f"outputs={tmp_path}", *overrides]
        with initialize_config_module("hessrun.conf", version_base="1.3"):
            config = compose("config", overrides=words, return_hydra_config=True)
        choices = {group: str(choice) for group, choice in config.hydra.runtime.choices.items()}
        del config.hydra
        made = build(OmegaConf.to_container(config, resolve=True), choices)
        assert made.folder.parent == tmp_path / name
        return read_run(run_experiment(made).folder)

    return run


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., set[str]]:
    """`drawn(run)`: the names of the figures in the report of these runs, without the problem's number."""

    def drawn(*runs: Run) -> set[str]:
        from hessrun.report import build

        built = build([run.path for run in runs], tmp_path / "report")
        return {path.stem.partition("-")[2] for path in built.figures.glob("problem1-*.svg")}

    return drawn
