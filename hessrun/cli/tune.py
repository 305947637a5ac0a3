"""`hessrun tune NAME [overrides]`: each method of a suite gets the same number of trials over its own search space."""

import shlex
import signal
import sys
from collections.abc import Sequence

from tqdm import tqdm

from hessrun import ranks
from hessrun.cli.broken import line_of
from hessrun.cli.cells import text
from hessrun.cli.outcomes import OUTCOMES, SIGNAL_BASE
from hessrun.cli.study import Study, Trial, open_storage
from hessrun.cli.trial import Interrupted, TrialFailed, run_trial
from hessrun.cli.tuning import Arm, Plan
from hessrun.cli.winners import Winner, read_winners, write_winners
from hessrun.errors import HessrunError, OptionError
from hessrun.record.lock import FolderLock


def known_winners(plan: Plan) -> dict[str, Winner] | None:
    """Arm's name -> its winner, where all of them have been tuned as the plan asks; else None."""
    found = {winner.digest: winner for winner in read_winners(plan.folder) if winner.suite == plan.suite}
    if all(arm.digest in found and found[arm.digest].trials >= arm.trials for arm in plan.arms):
        return {arm.name: found[arm.digest] for arm in plan.arms}
    return None


def run_tuning(plan: Plan, *, show: bool) -> tuple[dict[str, Winner], int]:
    """Run the trials that are left, in turn for all methods, and write the winners: those, and an exit code.

    A method whose settings are refused is named, left out, and makes the code 2; so is one of which a run failed, and
    the code 1: its trial is not counted, and tried once more by the same command. A signal ends all with its code.
    Raises RecordError for a study that cannot be used, FolderTakenError where another process tunes there, OptionError
    for one of several ranks.
    """
    if ranks.place().size > 1:
        raise OptionError(f"suite {plan.suite}: has to be tuned first, by one process: hessrun tune, without torchrun.")
    plan.folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(plan.folder)
    left_out: dict[str, int] = {}
    try:
        storage = open_storage(plan.folder)
        studies = {arm.name: Study(storage, plan.folder, arm, plan.tuning.sampler_seed) for arm in plan.arms}
        missing = {arm.name: max(arm.trials - len(studies[arm.name].trials), 0) for arm in plan.arms}
        seeds = len(plan.tuning.seeds)
        with tqdm(
            total=sum(missing.values()) * seeds, desc=f"tune {plan.suite}", unit="run", disable=not show, leave=False
        ) as bar:
            for number in range(max(missing.values(), default=0)):
                for arm in plan.arms:
                    if number >= missing[arm.name] or arm.name in left_out:
                        continue
                    bar.set_postfix_str(arm.name, refresh=False)
                    study = studies[arm.name]
                    try:
                        study.add(run_trial(plan, arm, study.next_settings(), bar.update))
                    except Interrupted:
                        raise
                    except Exception as error:  # noqa: BLE001  (of a class of the user's own, before the run's start)
                        is_told = isinstance(error, HessrunError | TrialFailed)
                        told = str(error) if is_told else line_of(error)
                        print(f"hessrun: {arm.name} is not tuned: {told}", file=sys.stderr)
                        left_out[arm.name] = 2 if isinstance(error, HessrunError) else 1
        winners = {
            arm.name: _winner(plan, arm, studies[arm.name].trials) for arm in plan.arms if arm.name not in left_out
        }
        write_winners(plan.folder, plan.suite, list(winners.values()))
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"hessrun: interrupted; to go on from here: hessrun {shlex.join(OUTCOMES.command)}", file=sys.stderr)
        number = stop.signal if isinstance(stop, Interrupted) else getattr(stop, "number", signal.SIGINT)
        return {}, SIGNAL_BASE + number
    finally:
        lock.release()
    return winners, max(left_out.values(), default=0)


def _winner(plan: Plan, arm: Arm, trials: Sequence[Trial]) -> Winner:
    """The first of the trials that reached the lowest value; where none ended well, the method stays as shipped."""
    best = min(trials, key=lambda trial: trial.value, default=None)
    costs: dict[str, dict[str, float]] = {}
    for trial in trials:
        costs |= trial.costs
    value = float("inf") if best is None else best.value
    settings = best.settings if best is not None and value < float("inf") else {}
    return Winner(
        suite=plan.suite,
        optimizer=arm.name,
        cell=arm.words,
        digest=arm.digest,
        select=plan.tuning.select if best is None else best.select,
        seeds=plan.tuning.seeds,
        trials=len(trials),
        overrides={f"optimizer.{key}": setting for key, setting in settings.items()},
        best=value,
        runs=len(costs),
        passes=sum(cost["passes"] for cost in costs.values()),
        seconds=sum(cost["seconds"] for cost in costs.values()),
        wall_seconds=sum(cost["wall_seconds"] for cost in costs.values()),
    )


def print_winners(plan: Plan, winners: Sequence[Winner]) -> None:
    """What won, and what finding it cost; one line a method."""
    width = max([len(winner.optimizer) for winner in winners] + [len("optimizer")])
    print(f"tuning of {plan.suite}: {plan.tuning.trials} trials a method, seeds {_listed(plan.tuning.seeds)}")
    titles = f"{'passes':>8}  {'seconds':>8}  {'wall s':>7}  {'best':>10}"
    print(f"{'optimizer':<{width}}  {'trials':>6}  {'runs':>5}  {titles}")
    for winner in winners:
        costs = f"{winner.passes:8.4g}  {winner.seconds:8.3g}  {winner.wall_seconds:7.3g}"
        best = f"{winner.best:10.4g}" if winner.trials > 0 else f"{'':>10}"
        print(f"{winner.optimizer:<{width}}  {winner.trials:6d}  {winner.runs:5d}  {costs}  {best}  {_said(winner)}")
    runs, passes, wall = (sum(getattr(one, name) for one in winners) for name in ("runs", "passes", "wall_seconds"))
    print(f"{runs:,} runs, {passes:,.4g} passes and {wall:,.3g} s on all clocks; written: {plan.folder}")


def _said(winner: Winner) -> str:
    if winner.trials == 0:
        return "nothing to tune"
    if not winner.overrides:
        return "no trial ended well; as shipped"
    return " ".join(f"{key}={text(value)}" for key, value in winner.overrides.items()) + f" by {winner.select}"


def print_plan(plan: Plan) -> None:
    """What tuning would run; nothing is written."""
    seeds = len(plan.tuning.seeds)
    print(f"tuning of {plan.suite} by {plan.tuning.select}, seeds {_listed(plan.tuning.seeds)}, in {plan.folder}")
    for arm in plan.arms:
        over = ", ".join(arm.space) if arm.space else "nothing to tune"
        print(f"  {arm.name}: {arm.trials} trials of {seeds} {'run' if seeds == 1 else 'runs'}, over {over}")


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
