"""One cell of a command: build the experiment, run it, say how it ended."""

import sys
from pathlib import Path
from typing import Any

from hessrun.cli.build import build
from hessrun.cli.outcomes import OUTCOMES, JobOutcome
from hessrun.cli.progress import Bar
from hessrun.cli.summary import print_summary
from hessrun.errors import RecordError
from hessrun.record import read_run
from hessrun.run import Ended, Experiment, run_experiment
from hessrun.status import RunState, Status

_SIGNAL_BASE = 128


def run_job(config: dict[str, Any], choices: dict[str, str]) -> JobOutcome:
    """Raises HessrunError for whatever is wrong before the run has started."""
    experiment = build(config, choices)
    folder = experiment.folder
    if _is_done(folder):
        if not config["force"]:
            line = f"already finished: {folder} (force=true runs it anew, beside it)"
            print(f"hessrun: {line}")
            return JobOutcome(folder.name, "skipped", line, 0)
        experiment = _beside(experiment)
    budget = experiment.budget
    show = config["progress"] == "on" or (config["progress"] == "auto" and sys.stderr.isatty())
    ended = run_experiment(experiment, lambda: Bar(folder.name, budget.iterations, show=show))
    if ended.error is not None:
        print(
            f"hessrun: {folder.name} failed: {ended.error} (the traceback is in {folder / 'run.log'})", file=sys.stderr
        )
    elif not OUTCOMES.expected:
        print_summary(experiment, ended)
    return _outcome(ended)


def _is_done(folder: Path) -> bool:
    try:
        return read_run(folder).state in (RunState.FINISHED, RunState.DIVERGED)
    except RecordError:
        return False


def _beside(experiment: Experiment) -> Experiment:
    from dataclasses import replace

    number = 2
    while (folder := experiment.folder.with_name(f"{experiment.folder.name}-r{number}")).exists():
        number += 1
    return replace(experiment, folder=folder)


def _outcome(ended: Ended) -> JobOutcome:
    row = ended.last_row or {}
    code = 0
    if ended.status is Status.FAILED:
        code = 1
    elif ended.signal is not None:
        code = _SIGNAL_BASE + ended.signal
    return JobOutcome(
        ended.folder.name,
        ended.status.state.value,
        ended.error or ended.status.sentence,
        code,
        loss=row.get("train_loss"),
        seconds=row.get("seconds"),
        steps=row.get("step"),
    )
