"""BFGS with a dense matrix: beside scipy and torchmin, beside its own parts, and blocked beside unblocked."""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.networks import Network, digits
from bench.ours import evaluations
from bench.peers import PeerRun, scipy_minimize, torchmin_minimize
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import rounds
from hessrun.linalg.quasi_newton_matrix import block_size
from hessrun.optimizers import BFGS
from hessrun.problems import Problem


class Stepping:
    """One run of BFGS, timed in stretches of whole blocks, so that every stretch carries its share of the folds.

    The first stretch, in which the matrix comes to be, is not timed.
    """

    def __init__(self, problem: Problem, setting: Setting) -> None:
        self._problem, self._setting = problem, setting
        self._optimizer = BFGS()
        self.state: Any = self._optimizer.init(problem)
        self._stretch = block_size(len(problem.x0))
        self.seconds: list[float] = []
        self.evaluations = 0.0
        self.steps = 0
        self._steps(self._stretch + 1)

    def _steps(self, count: int) -> None:
        for _ in range(count):
            self.state = self._optimizer.step(self._problem, self.state)

    def stretch(self) -> None:
        """Time one stretch."""
        before, start = evaluations(self._problem), self._setting.now()
        self._steps(self._stretch)
        self.seconds.append((self._setting.now() - start) / self._stretch)
        self.evaluations += evaluations(self._problem) - before
        self.steps += self._stretch
        if self.state.failure is not None:
            say(f"  BFGS left the regular path at step {self.state.step}: {self.state.failure}")

    @property
    def each(self) -> float:
        """Seconds an iteration, the median of the stretches."""
        return statistics.median(self.seconds)

    @property
    def matrices(self) -> float:
        """Bytes of the whole state, in matrices [n, n]."""
        x: Tensor = self.state.x
        return self._optimizer.state_bytes(self.state) / (len(x) ** 2 * x.element_size())


def small(setting: Setting) -> Iterator[Row]:
    """2,410 parameters in float64: scipy, torchmin, and one matrix-vector product with one gradient."""
    network = digits(setting, [4] if setting.is_quick else [32])
    say("bfgs: ours and its parts")
    parts: list[float] = []
    problem = network.problem()
    ours = Stepping(problem, setting)
    matrix, g = torch.zeros(network.risk.dim, network.risk.dim).to(problem.x0), problem.x0
    matrix.fill_diagonal_(1)
    network.risk.evaluate(g)
    for _ in rounds(setting):
        ours.stretch()
        parts.append(_each(setting, 20, lambda: matrix @ g) + _each(setting, 20, lambda: network.risk.evaluate(g)))
    n, f, objective, x0 = network.risk.dim, network.function(), network.risk, problem.x0
    what = f"BFGS iteration, digits MLP, n = {n:,}, float64"
    calls: dict[str, Callable[[int], PeerRun]] = {
        "scipy BFGS": lambda count: scipy_minimize("BFGS", objective, x0, iterations=count),
        "torchmin bfgs": lambda count: torchmin_minimize("bfgs", f, x0, iterations=count),
    }
    for name, call in calls.items():
        say(f"bfgs: {name}")
        peer = _peer(setting, call)
        mine = f"{milliseconds(ours.each)}, {ours.evaluations / ours.steps:.2f} eval/it"
        yield Row.at_least(what, mine, f"{name} {milliseconds(peer)}", peer / ours.each, 100)
    cost = statistics.median(parts)
    yield Row.at_most(
        f"  beside one product [n, n] [n] and one gradient, n = {n:,}",
        milliseconds(ours.each),
        f"both {milliseconds(cost)}",
        ours.each / cost,
        2,
    )


def large(setting: Setting) -> Iterator[Row]:
    """10,210 parameters in float64: blocks of updates, and the memory they take."""
    network: Network = digits(setting, [6] if setting.is_quick else [136])
    n = network.risk.dim
    say(f"bfgs-large: n = {n:,}, the matrix takes {n * n * 8 / 2**30:.2f} GiB")
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(setting.device)
    blocked = Stepping(network.problem(), setting)
    if setting.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(setting.device) / (n * n * 8)
        yield Row(f"  peak of the device in matrices, evaluations included, n = {n:,}", f"{peak:.2f}")
    unblocked: list[float] = []
    for _ in rounds(setting):
        blocked.stretch()
        unblocked.append(_unblocked(setting, network))
    plain = statistics.median(unblocked)
    yield Row.at_least(
        f"BFGS iteration, n = {n:,}, float64, blocks of {block_size(n)} beside unblocked",
        milliseconds(blocked.each),
        f"unblocked {milliseconds(plain)}",
        plain / blocked.each,
        2,
    )
    yield Row.at_most(
        f"  memory of the state, n = {n:,}", f"{blocked.matrices:.3f} matrices", "1 matrix", blocked.matrices, 1.3
    )


def _unblocked(setting: Setting, network: Network) -> float:
    """Seconds of what the plain update cannot do without: a gradient, a product, and a change of the whole matrix."""
    g = network.risk.x0
    matrix, pair = torch.eye(len(g)).to(g), torch.stack([g, 2 * g])

    def iteration() -> None:
        network.risk.evaluate(g)
        matrix.addmm_(pair.T, pair, alpha=1e-9)
        _ = matrix @ g

    return _each(setting, 10, iteration)


def _each(setting: Setting, count: int, call: Callable[[], object]) -> float:
    """Seconds of one call, the mean of `count`, after one that does not count."""
    call()
    start = setting.now()
    for _ in range(count):
        call()
    return (setting.now() - start) / count


def _peer(setting: Setting, call: Callable[[int], PeerRun]) -> float:
    """Seconds an iteration, the median of the rounds; each is a run of five iterations, the first of one apart."""
    call(1)
    found = []
    for _ in rounds(setting):
        start = setting.now()
        run = call(5)
        found.append((setting.now() - start) / run.iterations)
    return statistics.median(found)
