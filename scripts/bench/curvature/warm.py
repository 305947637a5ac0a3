"""The ten largest eigenvalues along a training run: products of warm starts beside those of cold ones."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.curvature.networks import digits_mlp
from bench.networks import Network
from bench.setting import Setting, say
from bench.table import Row
from hessrun.curvature import eigenvalues

_K = 10
_LIMITS = {1e-3: 0.5, 1e-6: 1.0}


def rows(setting: Setting) -> Iterator[Row]:
    """The digits MLP in float64, full-batch Adam at 0.01; a look each 10 steps, and at powers of two without a bar."""
    steps = 20 if setting.is_quick else 200
    path = trajectory(digits_mlp(setting, torch.float64), steps)
    schedules = {
        "every 10 steps": list(range(0, steps + 1, 10)),
        "at steps 1, 2, 4 ..": [2**k for k in range(steps.bit_length())],
    }
    for schedule, looks in schedules.items():
        for tolerance, limit in _LIMITS.items():
            say(f"warm: {schedule}, tolerance {tolerance:g}")
            warm, cold, apart = _products([path[step] for step in looks], tolerance)
            what = f"products, warm-started top {_K}, {schedule}, tolerance {tolerance:g}"
            row = Row.at_most(what, f"{warm} in {len(looks) - 1} looks", f"cold {cold}", warm / cold, limit)
            yield row if schedule == "every 10 steps" else replace(row, bar="", holds=None)
            yield Row.within("  largest difference of a warm value / |lambda|max", apart, 2 * tolerance)


def trajectory(network: Network, steps: int) -> list[Network]:
    """The network before the first step and after each."""
    module = copy.deepcopy(network.module)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    path = [network]
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(module(network.inputs), network.targets).backward()
        optimizer.step()
        path.append(replace(network, module=copy.deepcopy(module)))
    return path


def _products(path: list[Network], tolerance: float) -> tuple[int, int, float]:
    """Products of the warm and of the cold looks after the first, which has nothing to start from; and how far apart
    their values are at most. Both cold and warm looks that are not complete would count for less than they should.
    """
    warm = cold = 0
    apart = 0.0
    start: Tensor | None = None
    for network in path:
        risk = network.risk.uncounted()
        plain = eigenvalues(risk, risk.x0, largest=_K, tolerance=tolerance)
        if start is None:
            start = plain.vectors
            continue
        found = eigenvalues(risk, risk.x0, largest=_K, tolerance=tolerance, start=start)
        start = found.vectors
        warm, cold = warm + found.products, cold + plain.products
        if not (found.complete and plain.complete):
            return warm, cold, float("inf")
        apart = max(apart, float((found.values - plain.values).abs().max()) / plain.scale)
    return warm, cold, apart
