"""The points of `hessrun spectrum`: those that a run kept, and the start of a problem that overrides name."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hessrun.cli.build import build_problem
from hessrun.cli.composing import compose_words
from hessrun.cli.device import device_of, dtype_of, prepare_host
from hessrun.cli.spectrum import Point
from hessrun.errors import OptionError, RecordError
from hessrun.options import integer
from hessrun.record import read_run
from hessrun.record.schema import POINTS, step_file
from hessrun.run.checkpoint import final_point


def point_of_run(folder: Path, step: int | None) -> Point:
    """The point that a run kept at `step`, or its newest one.

    Raises RecordError for a folder that holds no run or no point, or a damaged one, OptionError for a step that has
    none.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: there is no such folder.")
    run = read_run(folder)
    final = final_point(folder)
    kept = {int(path.stem) for path in (folder / POINTS).glob("*.npz") if path.stem.isdecimal()}
    known = sorted(kept | ({final[0]} if final else set()))
    if not known:
        raise RecordError(f"{folder}: keeps no point: it ended before its first probe, or ran with curvature=off.")
    at = known[-1] if step is None else step
    if at not in known:
        raise OptionError(f"--step {at}: this run kept no point there; it has {', '.join(map(str, known))}.")
    values = final[1] if final and at == final[0] else _kept(folder / step_file(POINTS, at))
    dtype, device = dtype_of(run.config["dtype"]), device_of("auto")
    problem = build_problem(run.config, {}, dtype, device)
    x = values.to(dtype=dtype, device=device)
    if len(x) != problem.train.dim:
        raise RecordError(f"{folder}: its point has {len(x):,} numbers, its problem {problem.train.dim:,}: damaged.")
    return Point(problem.train, x, at, f"{folder.name} at step {at}", folder / "spectrum")


def _kept(path: Path) -> Tensor:
    try:
        with np.load(path, allow_pickle=False) as data:
            return torch.from_numpy(data["x"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f"{path}: no readable point ({error}).") from None


def point_of_overrides(words: Sequence[str]) -> Point:
    """The start of the problem that overrides name, as a run would start. Raises HessrunError, one line."""
    config, choices = compose_words(words).resolved()
    integer("seed", config["seed"], minimum=0)
    prepare_host(config["threads"])
    problem = build_problem(config, choices, dtype_of(config["dtype"]), device_of(config["device"]))
    title = f"{problem.facts.name}, seed {config['seed']}, at the start"
    return Point(problem.train, problem.x0, 0, title, Path(config["outputs"]) / "spectrum")
