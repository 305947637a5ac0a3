"""`hessrun export RUN [--out FILE]`: the trained weights as a state_dict that the plain module loads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hessrun.cli.arguments import parse
from hessrun.errors import OptionError, RecordError
from hessrun.record import Run, read_run
from hessrun.record.schema import CHECKPOINT


def export(arguments: Sequence[str]) -> int:
    """Write RUN's final weights to FILE, by default weights.pt in the run's folder."""
    options, paths = parse(arguments, verb="export", options=("--out",))
    if len(paths) != 1:
        raise OptionError("hessrun export takes one run: hessrun export outputs/EXPERIMENT/RUN [--out FILE]")
    run = read_run(paths[0])
    out = Path(options.get("--out", run.path / "weights.pt"))
    if not out.parent.is_dir():
        raise OptionError(f"--out {out}: there is no folder {out.parent}.")
    weights = _weights(run)
    from hessrun.run.checkpoint import save_whole

    try:
        save_whole(weights, out)
    except OSError as error:
        raise RecordError(f"--out {out}: cannot be written ({error.strerror}).") from None
    print(f"{sum(w.numel() for w in weights.values()):,} numbers in {len(weights)} tensors: {out}")
    return 0


def _weights(run: Run) -> dict[str, Any]:
    import torch

    from hessrun.cli.build import build_problem
    from hessrun.cli.device import dtype_of
    from hessrun.problems import SupervisedProblem
    from hessrun.run.checkpoint import final_point

    found = final_point(run.path)
    if found is None:
        if "compact" in run.manifest:
            raise RecordError(f"{run.path}: is a compact record without weights: hessrun compact --keep checkpoint.")
        raise RecordError(f"{run.path}: has no final weights yet (the run is {run.state}).")
    problem = build_problem(run.config, {}, dtype_of(run.config["dtype"]), torch.device("cpu"))
    if not isinstance(problem, SupervisedProblem):
        raise RecordError(f"{run.path}: an analytic problem has no weights; its point is in {CHECKPOINT}.")
    return problem.state_dict(found[1])
