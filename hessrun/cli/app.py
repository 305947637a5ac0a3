"""Hydra's side of the command: composes, then hands each configuration to a run. No torch before a run starts."""

import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hessrun import ranks
from hessrun.cli.folders import require_below
from hessrun.cli.listing import groups
from hessrun.cli.messages import one_line
from hessrun.cli.outcomes import OUTCOMES, SIGNAL_BASE, JobOutcome
from hessrun.errors import HessrunError, RanksError
from hessrun.options import nearest


def run_hydra(words: Sequence[str]) -> int:
    """Compose what the words say and run it, or the sweep of it; the exit code."""
    # Hydra then raises instead of printing a message of its own, and exits are ours.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # An installed script does not see the working folder; the user's classes are there.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    words = ["dry_run=true" if word == "--dry-run" else word for word in words]
    _refuse_unknown_flags(words)
    words = _flags_first(words)
    register_sweeper()
    register_own_experiments(words)
    kept, sys.argv = sys.argv, ["hessrun", *words]
    try:
        with _composed_once(words):
            _task()
    except (HydraException, OmegaConfBaseException) as error:
        raise HessrunError(one_line(error, words)) from error
    except TypeError as error:
        # The task raises nothing: this is Hydra's, which takes the place in a list for the name of a key.
        deleted = [word for word in words if word.startswith("~")]
        if not deleted:
            raise
        raise HessrunError(f"{deleted[0]}: a part of a list cannot be left out: write the whole list anew.") from error
    except ValueError as error:
        # Hydra's again, where a number stands for the name of a choice.
        if "Config group override" not in str(error):
            raise
        raise HessrunError("a group's choice, and an experiment's name, must be a word: not a number.") from error
    finally:
        sys.argv = kept
    if OUTCOMES.expected:
        from hessrun.cli.summary import print_table

        print_table(OUTCOMES.found)
    return OUTCOMES.exit_code()


@contextmanager
def _composed_once(words: Sequence[str]) -> Iterator[None]:
    """Hydra composes everything twice, first to see whether hydra.mode is set; not where no word can set it."""
    kept = Hydra.get_mode
    if not any("hydra.mode" in word or word.startswith(("--config", "-c")) for word in words):
        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = kept  # type: ignore[method-assign]


def register_sweeper() -> None:
    """Put our sweeper on Hydra's list: its scan for plugins does not look inside an editable install."""
    Plugins.instance()
    sweeper = importlib.import_module("hydra_plugins.hessrun_sweeper.sweeper")
    Plugins.instance().register(sweeper.HessrunSweeper)


def register_own_experiments(words: Sequence[str]) -> None:
    """Make `experiment=NAME` name the folder of the runs, and nothing else, where there is no experiment of the name.

    Experiments are those shipped and those in --config-dir. What looks like a misspelt name of one is left for Hydra
    to refuse.
    """
    known = set(groups()["experiment"])
    folder = get_args_parser().parse_known_args(list(words))[0].config_dir
    if folder is not None:
        known |= {file.stem for file in Path(folder, "experiment").glob("*.yaml")}
    values = [word.removeprefix("experiment=") for word in words if word.startswith("experiment=")]
    for name in [part.strip("\"' ") for value in values for part in value.split(",")]:
        if name not in ("", "null", *known) and not nearest(name, known):
            require_below(name)
            group, _, last = f"experiment/{name}".rpartition("/")
            ConfigStore.instance().store(
                group=group, name=last, node={"experiment": name}, package="_global_", provider="hessrun"
            )


def _refuse_unknown_flags(words: Sequence[str]) -> None:
    flags = [option for action in get_args_parser()._actions for option in action.option_strings]
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("--") and not any(flag.startswith(name) for flag in flags):
            raise HessrunError(f"{name}: there is no such flag.{nearest(name, flags)} Options are written name=value.")


def _flags_first(words: Sequence[str]) -> list[str]:
    """The same words, so that a flag may stand between overrides: Hydra's parser stops at the first after one."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[assignment]
    overrides: list[str] = parser.parse_intermixed_args(list(words)).overrides
    left, flags = list(overrides), list[str]()
    for word in words:
        if left and word == left[0]:
            left.pop(0)
        else:
            flags.append(word)
    return [*flags, *overrides]


def _refuse(line: str) -> NoReturn:
    raise HessrunError(f"{line}. Hydra's flags: hessrun --hydra-help")


@hydra.main(version_base="1.3", config_path="pkg://hessrun.conf", config_name="config")
def _task(config: DictConfig) -> JobOutcome:
    """One run. It never raises: Hydra would add lines of its own, and end a sweep."""
    began = time.perf_counter()
    choices = {key.split("@")[0]: str(name) for key, name in HydraConfig.get().runtime.choices.items()}
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        outcome = _refused(choices, one_line(error, ()))
    else:
        outcome = _run(resolved, choices)
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        from hessrun.cli.sweep_progress import note

        note(outcome, choices.get("optimizer", ""), time.perf_counter() - began)
    else:
        OUTCOMES.found.append(outcome)
    return outcome


def _run(config: Any, choices: dict[str, str]) -> JobOutcome:
    from hessrun.cli.job import run_job
    from hessrun.cli.retarget import retarget

    if HydraConfig.get().mode is RunMode.MULTIRUN:  # also where a launcher has started this process
        OUTCOMES.expected = max(OUTCOMES.expected, 1)
    try:
        overrides = list(HydraConfig.get().overrides.task)
        config, names = retarget(config, overrides)
        choices = choices | names
        outcome = run_job(config, choices, overrides)
    except RanksError as error:
        print(f"hessrun: {error}", file=sys.stderr)
        return JobOutcome(choices.get("optimizer", ""), "failed", str(error), 1)
    except HessrunError as error:
        return _refused(choices, str(error))
    except Exception as error:  # noqa: BLE001  (whatever a class of the user's own raises before its run has started)
        from hessrun.cli.broken import line_of

        line = line_of(error)
        print(f"hessrun: {line}", file=sys.stderr)
        outcome = JobOutcome(choices.get("optimizer", ""), "failed", line, 1)
    finally:
        if ranks.has_left():
            OUTCOMES.stopped = "an earlier cell failed, at which the ranks part"
    if outcome.exit_code == 1 and config["on_error"] == "stop":
        OUTCOMES.stopped = "an earlier cell failed, and on_error=stop"
    elif outcome.exit_code > SIGNAL_BASE:
        OUTCOMES.stopped = "the command was interrupted"
    return outcome


def _refused(choices: dict[str, str], line: str) -> JobOutcome:
    print(f"hessrun: {line}", file=sys.stderr)
    return JobOutcome(choices.get("optimizer", ""), "refused", line, 2)
