"""The ten largest eigenvalues, confirmation included, beside three peers, each set to reach the same error.

The error is that of the pairs, ||H v - theta v|| of a unit v over |lambda|max, measured apart in float64, and the
values must be the right ones to the same tolerance. Rows without a bar show what a peer needs for right values alone.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from bench.curvature.cheapest import cheapest
from bench.curvature.networks import digits_mlp, fashion_mnist_mlp, trained
from bench.curvature.peers import Pairs, Peer, top_peers
from bench.curvature.truth import Truth
from bench.networks import Network
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import in_turns
from hessrun.curvature import Eigenpairs, eigenvalues
from hessrun.errors import DataError

_K = 10
_RESIDUALS, _VALUES, _NEAREST = "residuals alike", "values alone right", "as near as it comes"
_TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-6}
# A peer's search for its setting ends after so many seconds.
_PATIENCE = 300.0

Make = Callable[[Setting, torch.dtype], Network]


def small(setting: Setting) -> Iterator[Row]:
    """The digits MLP of 2,410 parameters; the truth is its whole spectrum."""
    yield from _rows(setting, "digits MLP", digits_mlp, {"PyHessian": 5, "curvlinops+eigsh": 5, "eigenthings": 2})


def large(setting: Setting) -> Iterator[Row]:
    """The Fashion-MNIST MLP of 50,890 parameters; the truth is scipy's eigsh at 1e-10 in float64."""
    bars = {"PyHessian": 6, "curvlinops+eigsh": 5, "eigenthings": 1.5}
    yield from _rows(setting, "Fashion MLP", fashion_mnist_mlp, bars)


def _rows(setting: Setting, name: str, make: Make, bars: dict[str, float]) -> Iterator[Row]:
    try:
        networks = {dtype: make(setting, dtype) for dtype in _TOLERANCES}
    except DataError as error:
        say(f"top: {error}")
        yield Row.not_measured(f"top {_K}, {name}", "no files; see --fashion-mnist")
        return
    for dtype, start in list(networks.items())[: 1 if setting.is_quick else None]:
        for when in ("initialised", "trained"):
            network = start if when == "initialised" else trained(start)
            case = f"top {_K}, {name}, n = {network.risk.dim:,}, {str(dtype).removeprefix('torch.')}, {when}"
            say(case)
            yield from _Case(setting, case, network, _TOLERANCES[dtype], bars).rows()


class _Case:
    """One network in one dtype at one point."""

    def __init__(self, setting: Setting, name: str, network: Network, tolerance: float, bars: dict[str, float]) -> None:
        self._setting, self._name, self._network = setting, name, network
        self._tolerance, self._bars = tolerance, bars
        self._k = 3 if setting.is_quick else _K
        self._truth = Truth(network)
        self._largest = {by: self._truth.top(self._k, by_magnitude=by) for by in (False, True)}

    def rows(self) -> Iterator[Row]:
        """Ours beside the truth, then each peer."""
        found = self._ours()
        pairs = Pairs(found.values.double().cpu(), found.vectors.double().cpu())
        value_error, residual = self._truth.errors(pairs, self._largest[False])
        yield Row.within(f"{self._name}: worst value", value_error, self._tolerance)
        yield Row.within("  worst residual of ours / |lambda|max", residual, self._tolerance)
        if not found.complete:
            yield Row("  ours is not complete", found.message, holds=False)
        for peer in top_peers(self._truth.n, self._k, is_quick=self._setting.is_quick):
            yield from self._beside(peer, found.products)

    def _ours(self) -> Eigenpairs:
        risk = self._network.risk.uncounted()
        return eigenvalues(risk, risk.x0, largest=self._k, tolerance=self._tolerance)

    def _beside(self, peer: Peer, products: int) -> Iterator[Row]:
        bar, what = self._bars[peer.name], f"  beside {peer.name}, "
        try:
            search = _Search(peer, self._network, self._k, self._truth, self._largest[peer.by_magnitude])
            chosen = search.settings(self._tolerance)
            calls: dict[str, Callable[[], object]] = {"ours": self._ours}
            for kind, choice in chosen.items():
                calls[kind] = partial(peer.find, self._network, self._k, choice)
            seconds = in_turns(self._setting, calls, is_warm=True)
        except Exception as error:  # noqa: BLE001  (whatever it raises is its answer)
            say(f"top: {peer.name} raised {type(error).__name__}: {error}")
            yield Row(what + "residuals alike", "", f"raised {type(error).__name__}", "", f">= {bar:g}x", None, True)
            return
        ours = f"{milliseconds(seconds['ours'])}, {products} products"
        for kind, choice in chosen.items():
            theirs = f"{milliseconds(seconds[kind])} at {choice:.3g}, {search.errors[choice][kind is not _VALUES]:.0e}"
            row = Row.at_least(what + kind, ours, theirs, seconds[kind] / seconds["ours"], bar)
            # The first one is like for like, or what comes nearest to it.
            yield row if kind == next(iter(chosen)) else replace(row, bar="", holds=None)


class _Search:
    """The settings of one peer for one network, and the errors of those that were tried: of values, of pairs."""

    def __init__(self, peer: Peer, network: Network, k: int, truth: Truth, largest: Tensor) -> None:
        self._peer, self._network, self._k, self._truth, self._largest = peer, network, k, truth, largest
        self.errors: dict[float, tuple[float, float]] = {}
        self._began = time.monotonic()

    def settings(self, tolerance: float) -> dict[str, float]:
        """The cheapest setting that reaches the tolerance in the residuals, and that which does in the values alone.

        A peer that never gets there in the residuals is held to its values alone; one that does not there either, to
        twice the least residual that it came to.
        """
        found = {
            _RESIDUALS: self._cheapest(lambda value, residual: max(value, residual) <= tolerance),
            _VALUES: self._cheapest(lambda value, residual: value <= tolerance),
        }
        if found[_VALUES] == found[_RESIDUALS]:
            del found[_VALUES]
        reached = {kind: choice for kind, choice in found.items() if choice is not None}
        if not reached:
            least = min(residual for _, residual in self.errors.values())
            nearest = self._cheapest(lambda value, residual: residual <= 2 * least)
            reached[_NEAREST] = next(iter(self.errors)) if nearest is None else nearest
        return reached

    def _cheapest(self, is_enough: Callable[[float, float], bool]) -> float | None:
        def reaches(choice: float) -> bool:
            if choice not in self.errors:
                # Not tried for want of time: taken not to reach it.
                if self.errors and time.monotonic() - self._began > _PATIENCE:
                    return False
                self.errors[choice] = self._truth.errors(self._peer.find(self._network, self._k, choice), self._largest)
            return is_enough(*self.errors[choice])

        return cheapest(self._peer.settings, reaches)
