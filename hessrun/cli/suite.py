"""`hessrun suite NAME [overrides]` and `hessrun tune NAME [overrides]`: the cells of a YAML, and their settings."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hessrun.cli.cells import Cell, expand, text
from hessrun.cli.outcomes import OUTCOMES, SIGNAL_BASE
from hessrun.cli.suite_files import SuiteFile, read_suites, shipped
from hessrun.errors import OptionError

if TYPE_CHECKING:
    from hessrun.cli.tuning import Plan
    from hessrun.cli.winners import Winner

# What a user may say of a command, and what is none of a tuning run's business.
_OF_THE_COMMAND = ("seed", "force", "dry_run", "on_error", "progress", "target", "hydra")


@dataclass(frozen=True)
class _Words:
    """What stands after the name. flags: Hydra's; overrides: for every cell; tuning: `tuning.trials=3` and the like."""

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    tuning: dict[str, Any]
    folders: tuple[str, ...]
    is_dry: bool


def suite(arguments: Sequence[str]) -> int:
    """Run the cells of conf/suite/NAME.yaml, or of a YAML file; overrides after the name hold for every cell.

    A suite of parts runs them one after the other; one with `tuning` is tuned first, where that is not done.
    """
    name, words = _parsed(arguments, "suite")
    OUTCOMES.command = ["suite", *arguments]
    cells = [(file, expand(file.content, name=file.name)) for file in read_suites(name)]
    # All is planned before anything runs: what is wrong with the last part shows at once.
    planned = [(*pair, _plan(pair[0], words) if "tuning" in pair[0].content else None) for pair in cells]
    codes: list[int] = []
    for part in planned:
        if len(planned) > 1:
            print(f"suite {part[0].name}")
        codes.append(_run_suite(*part, words))
        if codes[-1] > SIGNAL_BASE or OUTCOMES.stopped:
            break
    return _together(codes)


def tune(arguments: Sequence[str]) -> int:
    """Tune the methods of a suite, or of all its parts that ask for it."""
    name, words = _parsed(arguments, "tune")
    OUTCOMES.command = ["tune", *arguments]
    for flag in words.flags:
        if not flag.startswith("--config-dir"):
            raise OptionError(f"hessrun tune: there is no option {flag}; there is --dry-run, --config-dir.")
    files = [file for file in read_suites(name) if "tuning" in file.content]
    if not files:
        raise OptionError(f"suite {name}: has no tuning, such as tuning: {{trials: 12, seeds: [1000, 1001]}}.")
    planned = [_plan(file, words) for file in files]
    codes: list[int] = []
    for plan in planned:
        codes.append(_tune(plan, words)[1])
        if codes[-1] > SIGNAL_BASE:
            break
    return _together(codes)


def _parsed(arguments: Sequence[str], verb: str) -> tuple[str, _Words]:
    if not arguments or arguments[0].startswith("-") or "=" in arguments[0]:
        raise OptionError(f"hessrun {verb} takes a name or a YAML file: {', '.join(shipped())}.")
    import yaml

    flags, overrides, folders = [], [], []
    tuning: dict[str, Any] = {}
    words = iter(arguments[1:])
    for word in words:
        if word.startswith("tuning."):
            key, _, value = word.removeprefix("tuning.").partition("=")
            try:
                tuning[key] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise OptionError(f"{word}: its value cannot be read.") from None
        elif word.startswith("--config-dir"):
            folder = word.partition("=")[2] or next(words, "")
            if not folder:
                raise OptionError(f"hessrun {verb} --config-dir: needs a value.")
            flags.append(f"--config-dir={folder}")
            folders.append(folder)
        elif word.startswith("-") and word != "--dry-run":
            flags.append(word)
        else:
            overrides.append("dry_run=true" if word == "--dry-run" else word)
    return arguments[0], _Words(tuple(flags), tuple(overrides), tuning, tuple(folders), is_dry=_is_dry(overrides))


def _is_dry(overrides: Sequence[str]) -> bool:
    """What the last word on dry_run says, as Hydra reads it."""
    said = [word.partition("=")[2].lower() for word in overrides if word.lstrip("+").startswith("dry_run=")]
    return bool(said) and said[-1] == "true"


def _run_suite(file: SuiteFile, cells: Sequence[Cell], plan: "Plan | None", words: _Words) -> int:
    code = 0
    winning: dict[tuple[str, ...], list[str]] = {}
    if plan is not None:
        from hessrun.cli.tuning import seedless

        found, code = _tune(plan, words)
        if code > SIGNAL_BASE:
            return code
        if words.is_dry and not found:
            print("the cells below are shown with the settings as shipped; tuning comes first, and decides")
        elif len(found) < len(plan.arms):
            # As shipped they would stand in the report beside tuned ones.
            untuned = {arm.words for arm in plan.arms if arm.name not in found}
            left = [cell for cell in cells if seedless(cell.words) not in untuned]
            print(
                f"hessrun: {len(cells) - len(left)} cells of methods that are not tuned are left out", file=sys.stderr
            )
            cells = left
            if not cells:
                return code
        for arm in plan.arms:
            if arm.name in found:
                winning[arm.words] = [f"{key}={text(value)}" for key, value in found[arm.name].overrides.items()]
        cells = [Cell((*cell.words, *winning.get(seedless(cell.words), []))) for cell in cells]
    from hessrun.cli.app import register_own_experiments, run_hydra

    OUTCOMES.cells = [[*cell.words, f"protocol.suite={file.name}"] for cell in cells]
    OUTCOMES.found, OUTCOMES.expected, OUTCOMES.stopped = [], 0, ""
    for cell in cells:
        register_own_experiments(cell.words)
    # Hydra sweeps over at least one word; this one says what holds anyway.
    return _together([code, run_hydra(["-m", *words.flags, *(words.overrides or ["force=false"])])])


def _plan(file: SuiteFile, words: _Words) -> "Plan":
    from hessrun.cli.tuning import key_of, parse_tuning, plan_tuning

    cells = expand({**file.content, "order": "given"}, name=file.name)
    node = file.content["tuning"]
    tuning = parse_tuning({**node, **words.tuning} if isinstance(node, dict) else node, file.name)
    reported = _seeds(cells, words.overrides)
    shared = sorted(set(tuning.seeds) & reported)
    if shared:
        raise OptionError(
            f"suite {file.name}: tuning.seeds and the cells share {', '.join(map(str, shared))}: what is tuned on a "
            "seed cannot be reported on it; take other seeds for tuning."
        )
    held = [word for word in words.overrides if key_of(word).partition(".")[0] not in _OF_THE_COMMAND]
    for word in held:
        if len(_values(word)) != 1:
            raise OptionError(f"{word}: a suite that is tuned takes one value of each but the seed.")
    return plan_tuning(file.name, tuning, cells, held, words.folders)


def _seeds(cells: Sequence[Cell], overrides: Sequence[str]) -> set[int]:
    """The seeds that the cells have, or the overrides that replace them; 0 where nobody says."""
    given = [word for word in overrides if word.lstrip("+").startswith("seed=")]
    words = [given[-1]] if given else [_seed_word(cell) for cell in cells]
    return {int(value) for word in words for value in _values(word) if value.isdecimal()}


def _seed_word(cell: Cell) -> str:
    return next((word for word in reversed(cell.words) if word.startswith("seed=")), "seed=0")


def _values(word: str) -> list[str]:
    """The values that Hydra would sweep over: one, where it is no sweep."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return [word]
    if not override.is_sweep_override():
        return [word.partition("=")[2]]
    return [str(value) for value in override.sweep_string_iterator()]


def _tune(plan: "Plan", words: _Words) -> "tuple[dict[str, Winner], int]":
    from hessrun.cli.tune import known_winners, print_plan, print_winners, run_tuning

    known = known_winners(plan)
    if words.is_dry and known is None:
        print_plan(plan)
        return {}, 0
    if known is not None:
        print_winners(plan, list(known.values()))
        return known, 0
    winners, code = run_tuning(plan, show=sys.stderr.isatty())
    if code <= SIGNAL_BASE:
        print_winners(plan, list(winners.values()))
    return winners, code


def _together(codes: Sequence[int]) -> int:
    """The exit code of several: a signal's, else that of a failure, else that of a refusal."""
    signals = [code for code in codes if code > SIGNAL_BASE]
    if signals:
        return signals[0]
    return 1 if 1 in codes else max(codes, default=0)
