"""A run that goes on keeps the rows and spectra that it was begun with: its record has one rhythm throughout."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from hessrun.cli.instantiate import make
from hessrun.record import read_run
from hessrun.run import Experiment, Probe
from hessrun.run.store import SHAPING


def as_begun(experiment: Experiment, config: Mapping[str, Any]) -> tuple[Experiment, str | None]:
    """With the stored `log_every` and `curvature` where it goes on, and a line where others were asked for.

    config: what the command resolved to. An experiment that starts anew takes what the command says.
    """
    if experiment.resume is None:
        return experiment, None
    stored = read_run(experiment.folder).config
    asked = yaml.safe_load(yaml.safe_dump({key: config[key] for key in SHAPING}))
    differing = [key for key in SHAPING if key in stored and stored[key] != asked[key]]
    if not differing:
        return experiment, None
    kept = {key: stored[key] for key in differing}
    probe: Probe = make("curvature", kept["curvature"]) if "curvature" in kept else experiment.probe
    going_on = replace(
        experiment,
        probe=probe,
        log_every=kept.get("log_every", experiment.log_every),
        config=yaml.safe_dump({**yaml.safe_load(experiment.config), **kept}, sort_keys=False),
    )
    return going_on, (
        f"it goes on with the {' and '.join(differing)} that it was begun with; force=true runs it anew with others"
    )
