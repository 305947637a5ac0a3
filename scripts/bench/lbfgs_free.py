"""L-BFGS where the function costs next to nothing: what an iteration itself takes, beside torch.optim.LBFGS."""

import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bench.ours import analytic, evaluations
from bench.peers import torch_lbfgs
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import rounds
from hessrun.objective import Counter, Curvature, Evaluation, Objective
from hessrun.optimizers import LBFGS


class DiagonalQuadratic(Objective):
    """f(x) = 1/2 sum_i a_i x_i^2, a_i from 1 down to 1e-8, evenly in log a; its gradient a x costs one product."""

    def __init__(self, n: int, device: torch.device) -> None:
        self.dim, self.dtype, self.device = n, torch.float64, device
        self.n_examples = self.n_batch = 1
        self.counter = Counter(1)
        self._a = torch.logspace(0, -8, n, dtype=torch.float64, device=device)

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        slope = self._a * x
        return Evaluation(x, 0.5 * torch.dot(x, slope), slope)

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        raise NotImplementedError("no method of this section takes products")


def rows(setting: Setting) -> Iterator[Row]:
    """n = 2e3 and 1e6, m = 10 and 50, float64; the initial matrix a learnt diagonal (the default), and y's/y'y I."""
    for n in (50, 200) if setting.is_quick else (2_000, 1_000_000):
        for m in (3, 5) if setting.is_quick else (10, 50):
            for scaling in ("diagonal", "every"):
                say(f"lbfgs-free: n = {n:,}, m = {m}, {scaling}")
                yield _row(setting, n, m, scaling)


def _row(setting: Setting, n: int, m: int, scaling: str) -> Row:
    objective = DiagonalQuadratic(n, setting.device)
    # Away from 1, so that the first gradient has no structure; every coordinate counts.
    x0 = 1 + torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(setting.device)
    warm = m + 5
    count = 10 if setting.is_quick else 100 if n < 10**5 else 20
    alone = _evaluation(setting, objective, x0)
    ours, theirs = [], []
    for _ in rounds(setting):
        ours.append(_ours(setting, objective, x0, LBFGS(memory=m, initial_scaling=scaling), warm, count))
        theirs.append(_theirs(setting, objective, x0, m, warm, count))
    mine, peer = (statistics.median(seconds for seconds, _ in runs) for runs in (ours, theirs))
    calls, peer_calls = (statistics.fmean(made for _, made in runs) for runs in (ours, theirs))
    what = f"L-BFGS ({scaling}) iteration, n = {n:,}, m = {m}; an evaluation is {milliseconds(alone)}"
    return Row.at_most(
        what,
        f"{milliseconds(mine)}, {calls:.2f} eval/it",
        f"torch {milliseconds(peer)}, {peer_calls:.2f} eval/it",
        mine / peer,
        0.5,
    )


def _ours(
    setting: Setting, objective: Objective, x0: Tensor, optimizer: LBFGS, warm: int, count: int
) -> tuple[float, float]:
    """Seconds and evaluations an iteration with a full memory."""
    problem = analytic(objective, x0)
    state: Any = optimizer.init(problem)
    for _ in range(warm):
        state = optimizer.step(problem, state)
    before, start = evaluations(problem), setting.now()
    for _ in range(count):
        state = optimizer.step(problem, state)
    seconds = setting.now() - start
    if state.failure is not None or state.memory.count < optimizer.memory:
        say(f"  ours left the regular path: {state.failure}, {state.memory.count} pairs, f = {state.here.value}")
    return seconds / count, (evaluations(problem) - before) / count


def _theirs(setting: Setting, objective: Objective, x0: Tensor, m: int, warm: int, count: int) -> tuple[float, float]:
    """The same of torch: from the first evaluation of iteration `warm` to that of the last."""
    marks: list[tuple[float, int]] = []
    seen = -1

    def watch(iteration: int) -> None:
        nonlocal seen
        if iteration in (warm, warm + count) and iteration != seen:
            marks.append((setting.now(), calls()))
        seen = iteration

    def calls() -> int:
        return round(objective.counts.gradients)

    run = torch_lbfgs(objective, x0, iterations=warm + count, memory=m, watch=watch)
    if len(marks) < 2:
        raise RuntimeError(f"torch.optim.LBFGS ended after {run.iterations} of {warm + count} iterations")
    (start, before), (end, after) = marks
    return (end - start) / count, (after - before) / count


def _evaluation(setting: Setting, objective: Objective, x: Tensor) -> float:
    objective.evaluate(x)
    start = setting.now()
    for _ in range(20):
        objective.evaluate(x)
    return (setting.now() - start) / 20
