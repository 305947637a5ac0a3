"""The Newton family on the digits MLP: seconds to the loss that torchmin's best method reaches in 30 iterations."""

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.networks import Network, digits
from bench.ours import Arrival, run_to
from bench.peers import torchmin_minimize
from bench.setting import Setting, say
from bench.table import Row, times
from hessrun.optimizers import Newton, NewtonTrust, Optimizer
from hessrun.optimizers.gauss_newton import GaussNewton
from hessrun.optimizers.newton_cg import NewtonCG
from hessrun.optimizers.newton_cg_line_search import NewtonCGLineSearch

_PEERS = ("newton-cg", "trust-krylov", "trust-ncg")
_SLOW_PEERS = ("newton-exact", "trust-exact")
_ROUNDS = 3
# A method of ours is given up at so many times the peer's seconds.
_PATIENCE = 5


def rows(setting: Setting) -> Iterator[Row]:
    """One row a method, then the best of ours beside the best of torchmin, timed in turns."""
    network = digits(setting, [4] if setting.is_quick else [32])
    iterations = 5 if setting.is_quick else 30
    peers: dict[str, Arrival] = {}
    for method in _PEERS + (_SLOW_PEERS if setting.with_slow_peers else ()):
        say(f"newton: torchmin {method}")
        try:
            torchmin_minimize(method, network.function(), network.risk.x0, iterations=1)
            peers[method] = found = _theirs(setting, network, method, iterations)
        except (RuntimeError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
            say(f"newton: torchmin {method} raised {type(error).__name__}: {error}")
            yield Row(f"torchmin {method}, {iterations} iterations", "", f"raised {type(error).__name__}")
        else:
            yield Row(f"torchmin {method}, {iterations} iterations: lowest loss", "", _arrival(found))
    if not peers:
        yield Row.not_measured("best of ours to torchmin's best, digits MLP", "no peer ran")
        return
    best = min(peers, key=lambda method: peers[method].loss)
    target, limit = peers[best].loss, max(_PATIENCE * peers[best].seconds, 1.0)
    ours: dict[str, Arrival] = {}
    for name, optimizer in _family(network).items():
        say(f"newton: {name}")
        _warm_up(optimizer, network)
        ours[name] = found = run_to(optimizer, network.problem(), target, setting=setting, max_seconds=limit)
        ratio = times(found.seconds / peers[best].seconds)
        yield Row(f"{name} to {target:.6g}", _arrival(found), f"{best} {peers[best].seconds:.3g} s", ratio)
    chosen = min(ours, key=lambda name: ours[name].seconds)
    what = f"best of ours ({chosen}) to the best of torchmin's {', '.join(peers)}"
    if math.isinf(ours[chosen].seconds):
        yield Row.at_most("best of ours to torchmin's best, digits MLP", "none reached it", best, math.inf, 0.5)
        return
    # The run in which it was the fastest does not count.
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(_ROUNDS):
        say(f"newton: {chosen} and {best} again")
        mine.append(run_to(_family(network)[chosen], network.problem(), target, setting=setting).seconds)
        theirs.append(_theirs(setting, network, best, iterations).seconds)
    a, b = statistics.median(mine), statistics.median(theirs)
    yield Row.at_most(what, f"{a:.3g} s", f"torchmin {best} {b:.3g} s", a / b, 0.5)


def _family(network: Network) -> dict[str, Optimizer[Any]]:
    sample = max(1, network.risk.n_examples // 4)
    return {
        "NewtonCG": NewtonCG(),
        "NewtonCG, products in float32, 40 pairs": NewtonCG(product_dtype="float32", preconditioner=40),
        "NewtonCG, products in float32, 80 pairs, 12 products a step": NewtonCG(
            product_dtype="float32", preconditioner=80, max_cg_iterations=12
        ),
        f"NewtonCG, products on {sample} examples": NewtonCG(product_batch_size=sample),
        "NewtonCGLineSearch": NewtonCGLineSearch(),
        "GaussNewton": GaussNewton(),
        "NewtonTrust": NewtonTrust(),
        "Newton": Newton(),
    }


def _warm_up(optimizer: Optimizer[Any], network: Network) -> None:
    problem = network.problem()
    optimizer.step(problem, optimizer.init(problem))


def _theirs(setting: Setting, network: Network, method: str, iterations: int) -> Arrival:
    """The lowest loss after any iteration and the seconds until then; x is kept on the clock, f evaluated after it."""
    trail: list[tuple[float, Tensor]] = []
    start = setting.now()
    f: Callable[[Tensor], Tensor] = network.function()
    run = torchmin_minimize(
        method,
        f,
        network.risk.x0,
        iterations=iterations,
        callback=lambda x: trail.append((setting.now() - start, x.clone())),
    )
    with torch.no_grad():
        losses = [float(f(x)) for _, x in trail]
    lowest = min(range(len(losses)), key=losses.__getitem__)
    return Arrival(run.evaluations, trail[lowest][0], lowest + 1, losses[lowest])


def _arrival(found: Arrival) -> str:
    if math.isinf(found.seconds):
        return f"not reached: {found.loss:.6g}"
    return f"{found.seconds:.3g} s, {found.steps} it, {found.loss:.6g}"
