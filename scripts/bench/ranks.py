"""One risk over two ranks, a thread each, beside the same risk in one process with one thread."""

import functools
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from bench.setting import Setting, say
from bench.table import Row, milliseconds
from hessrun import ranks
from hessrun.optimizers import LBFGS
from hessrun.problems import supervised
from hessrun.problems.datasets import Digits, FashionMNIST
from hessrun.problems.datasets.folder import find_files
from hessrun.problems.learning import SupervisedProblem
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp

_RANKS, _ROUNDS, _STEPS, _BAR = 2, 5, 5, 1.7
_WHAT = ("gradient", "product", f"L-BFGS, {_STEPS} steps")


@dataclass(frozen=True)
class _Times:
    """Seconds, the medians of the rounds. alone: of rank 0 over all examples; together: of both ranks."""

    alone: dict[str, float]
    together: dict[str, float]
    examples: int
    dim: int


def rows(setting: Setting) -> Iterator[Row]:
    """Fashion-MNIST's 60,000 images, MLP of 64 hidden units, float64; quick: 200 digits."""
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    if not setting.is_quick and not find_files(setting.fashion_mnist, names):
        yield Row.not_measured("two ranks", f"no files in {setting.fashion_mnist}")
        return
    if setting.device.type != "cpu":
        yield Row.not_measured("two ranks", "the bar is one of two cores")
        return
    say(f"ranks: {_RANKS} processes, a thread each")
    found = _measured(setting)
    for what in _WHAT:
        alone, together = found.alone[what], found.together[what]
        yield Row.at_least(
            f"{_RANKS} ranks, {found.examples:,} examples, n = {found.dim:,}: {what}",
            milliseconds(together),
            f"one rank {milliseconds(alone)}",
            alone / together,
            _BAR,
        )


def _measured(setting: Setting) -> _Times:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    processes = [
        context.Process(target=_work, args=(rank, port, setting, there if rank == 0 else None))
        for rank in range(_RANKS)
    ]
    for process in processes:
        process.start()
    there.close()
    try:
        found: _Times = here.recv()
    except EOFError:
        raise RuntimeError("a rank has failed: see above") from None
    finally:
        for process in processes:
            process.join()
    return found


def _work(rank: int, port: int, setting: Setting, pipe: Any) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": str(_RANKS), "LOCAL_WORLD_SIZE": str(_RANKS)}
    torch.set_num_threads(1)
    whole = _problem(setting) if rank == 0 else None
    ranks.start(600.0)
    shared = _problem(setting)
    alone: dict[str, list[float]] = {what: [] for what in _WHAT}
    together: dict[str, list[float]] = {what: [] for what in _WHAT}
    for turn in range(1 + (1 if setting.is_quick else _ROUNDS)):
        for what in _WHAT:
            ranks.barrier()
            if whole is not None:
                alone[what].append(_seconds(_calls(whole)[what]))
            # The other rank waits here, and leaves its core idle.
            ranks.barrier()
            together[what].append(_seconds(_calls(shared)[what]))
        say(f"ranks: round {turn} of {_ROUNDS}, rank {rank}")
    ranks.barrier()
    if pipe is not None:
        # The first round warms up.
        medians = [{what: statistics.median(of[what][1:]) for what in _WHAT} for of in (alone, together)]
        pipe.send(_Times(*medians, shared.train.n_examples, shared.train.dim))
    ranks.stop()


def _problem(setting: Setting) -> SupervisedProblem:
    dataset = FashionMNIST(validation_fraction=0.0, source=str(setting.fashion_mnist))
    small = Digits(validation_fraction=0.0, limit=200)
    return supervised(
        small if setting.is_quick else dataset, functools.partial(mlp, hidden=[64]), CrossEntropy(), weight_decay=1e-3
    )


def _calls(problem: SupervisedProblem) -> dict[str, Callable[[], object]]:
    train, x = problem.train, problem.x0
    v = torch.ones_like(x)

    def product() -> None:
        with train.curvature(x) as curvature:
            _ = curvature @ v

    def steps() -> None:
        method = LBFGS()
        state = method.init(problem)
        for _ in range(_STEPS):
            state = method.step(problem, state)

    return dict(zip(_WHAT, (lambda: train.evaluate(x), product, steps), strict=True))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
