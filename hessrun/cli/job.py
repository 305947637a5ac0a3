"""One cell of a command: build the experiment, run it, say how it ended."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from hessrun import ranks
from hessrun.cli.begun import as_begun
from hessrun.cli.build import build, identity
from hessrun.cli.forecast import forecast
from hessrun.cli.outcomes import OUTCOMES, SIGNAL_BASE, JobOutcome
from hessrun.cli.progress import Bar
from hessrun.cli.summary import print_summary
from hessrun.errors import FolderTakenError
from hessrun.options import positive
from hessrun.run import Ended, Experiment, run_experiment
from hessrun.run.joint_claim import claim_jointly
from hessrun.run.store import Claim
from hessrun.status import Status


def run_job(config: dict[str, Any], choices: dict[str, str], overrides: Sequence[str] = ()) -> JobOutcome:
    """Raises HessrunError for whatever is wrong before the run has started."""
    if OUTCOMES.stopped:
        return JobOutcome(choices.get("optimizer", ""), "not run", OUTCOMES.stopped, 0)
    positive("rank_timeout", config["rank_timeout"])
    ranks.start(config["rank_timeout"])
    wanted = ranks.together(lambda: build(config, choices))
    facts = [wanted.manifest["run_id"], wanted.manifest["problem"]]
    ranks.require_same_text(json.dumps(facts), "The configuration, or the data,")
    if config["dry_run"]:
        shown = " ".join(word for word in overrides if not word.startswith(("protocol.", "dry_run=")))
        return forecast(wanted, force=config["force"], overrides=shown)
    show = config["progress"] == "on" or (config["progress"] == "auto" and sys.stderr.isatty())
    try:
        found = claimed(wanted, config, force=config["force"])
        for line in found.lines:
            print(f"hessrun: {line}", file=sys.stderr if found.experiment else sys.stdout)
        if found.experiment is None:
            return JobOutcome(wanted.folder.name, "skipped", found.lines[-1], 0)
        experiment = found.experiment
        folder = experiment.folder
        ended = run_experiment(experiment, lambda: Bar(folder.name, wanted.budget.iterations, show=show))
    except FolderTakenError as error:
        print(f"hessrun: {error}")
        return JobOutcome(wanted.folder.name, "skipped", str(error), 0)
    if ended.error is not None:
        print(
            f"hessrun: {folder.name} failed: {ended.error} (the traceback is in {folder / 'run.log'})", file=sys.stderr
        )
    elif ended.signal is not None:
        # A launcher's process knows the cell's own overrides alone.
        words = shlex.join(OUTCOMES.command or overrides)
        print(f"hessrun: interrupted; to go on from here: hessrun {words}", file=sys.stderr)
    elif not OUTCOMES.expected:
        print_summary(experiment, ended)
    return _outcome(ended)


def claimed(wanted: Experiment, config: dict[str, Any], *, force: bool) -> Claim:
    """What is to run of a cell, from where, or nothing; config: what the command resolved to."""
    return claim_jointly(
        wanted, force=force, differing=_differing(config), as_begun=lambda found: as_begun(found, config)
    )


def _differing(config: dict[str, Any]) -> Callable[[dict[str, Any]], list[str]]:
    """Compares what decides the path with that of a stored configuration, as YAML keeps it: the keys that differ."""
    mine = yaml.safe_load(yaml.safe_dump(identity(config)))

    def keys(stored: dict[str, Any]) -> list[str]:
        theirs = identity(stored)
        return sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))

    return keys


def _outcome(ended: Ended) -> JobOutcome:
    row = ended.last_row or {}
    code = 0
    if ended.status is Status.FAILED:
        code = 1
    elif ended.signal is not None:
        code = SIGNAL_BASE + ended.signal
    return JobOutcome(
        ended.folder.name,
        ended.status.state.value,
        ended.error or ended.status.sentence,
        code,
        loss=row.get("train_loss"),
        seconds=row.get("seconds"),
        steps=row.get("step"),
    )
