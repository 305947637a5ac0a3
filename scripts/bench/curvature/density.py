"""The density of 10 probes x 80 steps, smoothed on 10,000 points, beside hessian-eigenthings: seconds and distance."""

import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bench.curvature.networks import digits_mlp, fashion_mnist_mlp, trained
from bench.curvature.peers import eigenthings_density
from bench.curvature.truth import Truth
from bench.networks import Network
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import in_turns
from hessrun.curvature import Density, density
from hessrun.errors import DataError

_POINTS = 10_000


def small(setting: Setting) -> Iterator[Row]:
    """The digits MLP after training, and how far both are from its exact spectrum."""
    network = trained(digits_mlp(setting, torch.float32))
    yield from _beside(setting, "digits MLP", network, 4)
    say("density: distances to the exact spectrum")
    exact = Truth(network).eigenvalues
    ours, theirs = [], []
    size = _size(setting)
    for seed in range(setting.seeds):
        found = _ours(network, *size, seed=seed)
        ours.append(distance(found.nodes, found.weights, exact))
        theirs.append(distance(*_theirs(network, *size, seed=seed), exact))
    a, b = statistics.fmean(ours), statistics.fmean(theirs)
    spread = statistics.stdev(x - y for x, y in zip(ours, theirs, strict=True)) / len(ours) ** 0.5
    yield Row.at_most(
        f"  Wasserstein distance to the exact spectrum, mean of {len(ours)} seeds, +- {spread / b:.0%}",
        f"{a:.3g}",
        f"eigenthings {b:.3g}",
        a / b,
        1,
    )


def large(setting: Setting) -> Iterator[Row]:
    """The Fashion-MNIST MLP after training; its exact spectrum is out of reach."""
    try:
        network = trained(fashion_mnist_mlp(setting, torch.float32))
    except DataError as error:
        say(f"density: {error}")
        yield Row.not_measured("density, Fashion MLP", "no files; see --fashion-mnist")
        return
    yield from _beside(setting, "Fashion MLP", network, 1.7)


def _size(setting: Setting) -> tuple[int, int]:
    """Probes and steps of each."""
    return (2, 10) if setting.is_quick else (10, 80)


def distance(nodes: Tensor, weights: Tensor, exact: Tensor) -> float:
    """The first Wasserstein distance of the mean over the probes [probes, m] to all eigenvalues, over their range."""
    import scipy.stats

    seen = weights > 0
    found = scipy.stats.wasserstein_distance(
        nodes[seen].double().cpu().numpy(), exact.numpy(), weights[seen].double().cpu().numpy()
    )
    return float(found) / float(exact.max() - exact.min())


def _beside(setting: Setting, name: str, network: Network, bar: float) -> Iterator[Row]:
    probes, steps = _size(setting)
    what = f"density, {probes} probes x {steps} steps, {name}, n = {network.risk.dim:,}, trained"
    say(what)
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: _ours(network, probes, steps, seed=0),
        "theirs": lambda: _theirs(network, probes, steps, seed=0),
    }
    _ours(network, 1, steps, seed=0)
    try:
        _theirs(network, 1, steps, seed=0)
        seconds = in_turns(setting, calls, is_warm=True)
    except Exception as error:  # noqa: BLE001  (whatever it raises is its answer)
        say(f"density: eigenthings raised {type(error).__name__}: {error}")
        yield Row(what, "", f"eigenthings raised {type(error).__name__}", bar=f">= {bar:g}x", is_left_out=True)
        return
    yield Row.at_least(
        what,
        milliseconds(seconds["ours"]),
        f"eigenthings {milliseconds(seconds['theirs'])}",
        seconds["theirs"] / seconds["ours"],
        bar,
    )


def _ours(network: Network, probes: int, steps: int, *, seed: int) -> Density:
    risk = network.risk.uncounted()
    found = density(risk, risk.x0, probes=probes, steps=steps, seed=seed)
    # What the peer does besides: a tenth of the range beyond both ends.
    low, high = float(found.nodes.min()), float(found.nodes.max())
    margin = 0.1 * (high - low)
    found.on(torch.linspace(low - margin, high + margin, _POINTS, dtype=torch.float64), (high - low) / steps)
    return found


def _theirs(network: Network, probes: int, steps: int, *, seed: int) -> tuple[Tensor, Tensor]:
    # Its probes of neighbouring seeds are the same ones but for the last.
    return eigenthings_density(network, probes=probes, steps=steps, seed=1000 * seed)
