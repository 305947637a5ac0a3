"""`hessrun status [DIR]`: how the runs below a folder stand, also while they run."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hessrun.cli.arguments import parse
from hessrun.cli.outcomes import JobOutcome
from hessrun.cli.summary import print_table
from hessrun.cli.taken import runs_taken
from hessrun.cli.watching import split, watch
from hessrun.errors import RecordError
from hessrun.record import Run, find_runs, read_run
from hessrun.record.lock import is_held

_TRIAL = "tuning: "  # before the name of a trial's run: it is no result


def status(arguments: Sequence[str]) -> int:
    """One line a run, trials of tuning last, and the tally, with --watch again and again.

    Exit code 1 where one failed or is damaged.
    """
    seconds, words = split(arguments)
    _, paths = parse(words, verb="status", options=("--watch",))

    def look() -> list[JobOutcome]:
        found = [standing(folder) for folder in find_runs(runs_taken(paths))]
        return sorted(found, key=lambda outcome: outcome.name.startswith(_TRIAL))

    if seconds is None:
        outcomes: Sequence[JobOutcome] = look()
        print_table(outcomes)
    else:
        outcomes = watch(look, seconds)
    unfinished = Counter(outcome.state for outcome in outcomes)["cut off"]
    if unfinished:
        print(f"{unfinished} cut off: the same command goes on where each stood")
    return 1 if any(outcome.exit_code for outcome in outcomes) else 0


def standing(folder: Path) -> JobOutcome:
    """How the run of a folder stands, as the tables show it."""
    try:
        run = read_run(folder)
    except RecordError as error:
        return JobOutcome(folder.name, "damaged", str(error), 1)
    row = run.trace[-1] if run.trace else {}
    state = _state(run)
    return JobOutcome(
        _TRIAL + folder.name if run.manifest.get("role") == "tuning" else folder.name,
        state,
        str(run.status.get("reason", "")),
        1 if state == "failed" else 0,
        planned=_planned(run),
        loss=row.get("train_loss"),
        seconds=row.get("seconds"),
        steps=row.get("step"),
    )


def _planned(run: Run) -> int | None:
    """The steps that the budget of a run allows, which may end before."""
    budget = run.config.get("budget")
    iterations = budget.get("iterations") if isinstance(budget, dict) else None
    return iterations if isinstance(iterations, int) else None


def _state(run: Run) -> str:
    if run.state != "running":
        return run.state
    return "running" if is_held(run.path) else "cut off"
