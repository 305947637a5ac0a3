"""A full gradient over examples that are read chunk by chunk, beside the same one over examples in memory."""

import multiprocessing
import re
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from bench.setting import Setting, say
from bench.table import Row, milliseconds, times
from bench.timing import in_turns
from hessrun.problems import supervised
from hessrun.problems.datasets import MemoryMapped
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp

_STATUS = Path("/proc/self/status")


def rows(setting: Setting) -> Iterator[Row]:
    """60,000 images of 784 random bytes or float32 numbers, MLP of 32 hidden units: seconds, then peak memory."""
    count = 300 if setting.is_quick else 60_000
    for kind in (np.uint8, np.float32):
        with tempfile.TemporaryDirectory(prefix="hessrun-streaming-") as folder:
            name = np.dtype(kind).name
            say(f"streaming: {count:,} images of {name}")
            _write(Path(folder), count, kind)
            for dtype in (torch.float32, torch.float64):
                yield _seconds(
                    setting, Path(folder), f"{count:,} images, {name} -> {str(dtype).removeprefix('torch.')}", dtype
                )
            yield _memory(setting, Path(folder), f"{count:,} images, {name} -> float32")


def _write(folder: Path, count: int, kind: type[np.generic]) -> None:
    generator = np.random.default_rng(0)
    np.save(folder / "inputs.npy", generator.integers(0, 256, (count, 784), dtype=np.uint8).astype(kind))
    np.save(folder / "targets.npy", generator.integers(0, 10, count))


def _problem(setting: Setting, folder: Path, dtype: torch.dtype, *, in_memory: bool) -> SupervisedProblem:
    dataset = MemoryMapped(
        inputs=str(folder / "inputs.npy"),
        targets=str(folder / "targets.npy"),
        validation_fraction=0.0,
        test_fraction=0.0,
        in_memory=in_memory,
    )
    return supervised(dataset, mlp, CrossEntropy(), dtype=dtype, device=setting.device)


def _seconds(setting: Setting, folder: Path, what: str, dtype: torch.dtype) -> Row:
    streamed, held = (_problem(setting, folder, dtype, in_memory=in_memory) for in_memory in (False, True))
    if not torch.equal(streamed.train.evaluate(held.x0).gradient, held.train.evaluate(held.x0).gradient):
        raise RuntimeError(f"{what}: the two gradients differ")
    found = in_turns(
        setting,
        {"ours": lambda: streamed.train.evaluate(held.x0), "peer": lambda: held.train.evaluate(held.x0)},
        least=0.0 if setting.is_quick else 2.0,
        is_warm=True,
    )
    return Row(
        f"gradient, {what}",
        f"streamed {milliseconds(found['ours'])}",
        f"in memory {milliseconds(found['peer'])}",
        times(found["ours"] / found["peer"]),
    )


def _memory(setting: Setting, folder: Path, what: str) -> Row:
    title = f"peak memory of loading and a gradient, {what}"
    if not _STATUS.exists():
        return Row.not_measured(title, "no /proc/self/status on this system")
    streamed, held = (_peak(setting, folder, in_memory) for in_memory in (False, True))
    return Row(title, f"streamed {streamed:.0f} MB", f"in memory {held:.0f} MB", times(streamed / held))


def _peak(setting: Setting, folder: Path, in_memory: bool) -> float:
    """Megabytes beyond those of the imports, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_measure_peak, args=(there, setting, folder, in_memory))
    child.start()
    there.close()
    try:
        return float(here.recv())
    finally:
        child.join()


def _measure_peak(result: Connection, setting: Setting, folder: Path, in_memory: bool) -> None:
    start = _most()
    problem = _problem(setting, folder, torch.float32, in_memory=in_memory)
    problem.train.evaluate(problem.x0)
    result.send(_most() - start)


def _most() -> float:
    """Megabytes that this process has had at most."""
    found = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text())
    if found is None:
        raise RuntimeError(f"{_STATUS} does not tell the peak")
    return int(found[1]) * 1024 / 1e6
