"""What a run's folder holds, looked at by the rank that writes, for all of them."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hessrun import ranks
from hessrun.run.checkpoint import Checkpoint, place_on
from hessrun.run.experiment import Experiment
from hessrun.run.store import Claim, claim


def claim_jointly(
    experiment: Experiment,
    *,
    force: bool,
    differing: Callable[[dict[str, Any]], list[str]],
    as_begun: Callable[[Experiment], tuple[Experiment, str | None]],
) -> Claim:
    """As `store.claim`, by rank 0 alone: the others are told, also the state to go on from, and see no folder.

    as_begun: what is claimed, in the form in which it is to run, and a sentence where that differs from what was asked.
    """
    own: list[Claim] = []

    def look() -> dict[str, Any]:
        found = claim(experiment, force=force, differing=differing)
        if found.experiment is not None:
            chosen, told = as_begun(found.experiment)
            found = Claim(chosen, found.lines if told is None else (*found.lines, told))
        own.append(found)
        return _told(own[0]) if ranks.size() > 1 else {}

    told = ranks.by_writer(look, map_location=place_on(experiment.problem.x0.device))
    return own[0] if own else _followed(experiment, told)


def _told(found: Claim) -> dict[str, Any]:
    if found.experiment is None:
        return {"lines": list(found.lines), "runs": False}
    chosen, point = found.experiment, found.experiment.resume
    return {
        "lines": list(found.lines),
        "runs": True,
        "folder": str(chosen.folder),
        "manifest": chosen.manifest,
        "log_every": chosen.log_every,
        "probe": asdict(chosen.probe),
        "resume": None if point is None else asdict(point),
    }


def _followed(experiment: Experiment, told: dict[str, Any]) -> Claim:
    lines = tuple(told["lines"])
    if not told["runs"]:
        return Claim(None, lines)
    point = None if told["resume"] is None else Checkpoint(**told["resume"])
    chosen = replace(
        experiment,
        folder=Path(told["folder"]),
        manifest=told["manifest"],
        log_every=told["log_every"],
        probe=replace(experiment.probe, **told["probe"]),
        resume=point,
    )
    return Claim(chosen, lines)
