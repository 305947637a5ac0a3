"""L-BFGS on networks: evaluations and seconds to the loss that torch.optim.LBFGS reaches in 300 iterations."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

from bench.networks import Network, digits, fashion_mnist
from bench.ours import Arrival, run_to
from bench.peers import torch_lbfgs
from bench.setting import Setting, say
from bench.table import Row, median_ratio
from hessrun.errors import DataError
from hessrun.optimizers import LBFGS

_MEMORY = 10
# Where ours is slower it may take up to so many times the iterations.
_PATIENCE = 4

Make = Callable[..., Network]


def rows(setting: Setting) -> Iterator[Row]:
    """Digits MLP, digits linear, Fashion-MNIST MLP, each from `seeds` starts; medians of the ratios start by start."""
    width = 4 if setting.is_quick else 64
    cases: list[tuple[str, Make, Sequence[int]]] = [
        ("digits MLP", digits, [4] if setting.is_quick else [32]),
        ("digits linear", digits, []),
        ("Fashion-MNIST MLP", fashion_mnist, [width]),
    ]
    for name, make, hidden in cases:
        try:
            make(setting, hidden)
        except DataError as error:
            say(f"lbfgs-target: {error}")
            yield Row.not_measured(f"L-BFGS to torch's loss, {name}", "no files; see --fashion-mnist")
        else:
            yield from _case(setting, name, make, hidden)


def _case(setting: Setting, name: str, make: Make, hidden: Sequence[int]) -> Iterator[Row]:
    iterations = 20 if setting.is_quick else 300
    ours: list[Arrival] = []
    theirs: list[Arrival] = []
    # The first optimizer of torch that is made imports much, and the first call of everything is slower.
    first = make(setting, hidden)
    _theirs(setting, first, 3)
    _ours(setting, first, 0, -math.inf, 3)
    for seed in range(setting.seeds):
        network = make(setting, hidden, seed=seed)
        network.risk.evaluate(network.risk.x0)
        # The target is known only after torch's run: where ours is to be first in the clock's turn, torch runs twice.
        first_run = _theirs(setting, network, iterations)
        ours.append(_ours(setting, network, seed, first_run.loss, _PATIENCE * iterations))
        theirs.append(first_run if seed % 2 == 0 else _theirs(setting, network, iterations))
        say(
            f"lbfgs-target: {name}, seed {seed}: loss {theirs[-1].loss:.6g}, evaluations {ours[-1].evaluations:g} and "
            f"{theirs[-1].evaluations:g}, seconds {ours[-1].seconds:.3g} and {theirs[-1].seconds:.3g}"
        )
    what = f"L-BFGS to torch's loss at {iterations} iterations, {name}"
    for unit, limit in (("evaluations", 0.95), ("seconds", 1.0)):
        mine_all, theirs_all = ([getattr(run, unit) for run in runs] for runs in (ours, theirs))
        yield Row.at_most(
            f"{what}: {unit}",
            f"{statistics.median(mine_all):.4g}",
            f"torch {statistics.median(theirs_all):.4g}",
            median_ratio(mine_all, theirs_all),
            limit,
        )


def _ours(setting: Setting, network: Network, seed: int, target: float, max_steps: int) -> Arrival:
    return run_to(LBFGS(memory=_MEMORY), network.problem(seed), target, setting=setting, max_steps=max_steps)


def _theirs(setting: Setting, network: Network, iterations: int) -> Arrival:
    before, start = network.risk.counts, setting.now()
    run = torch_lbfgs(network.risk, network.risk.x0, iterations=iterations, memory=_MEMORY)
    seconds = setting.now() - start
    made = (network.risk.counts - before).gradients
    loss = float(network.risk.uncounted().evaluate(run.x).value)
    return Arrival(made, seconds, run.iterations, loss)
