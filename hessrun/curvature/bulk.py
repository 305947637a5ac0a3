"""What a whole spectrum looks like: the eigenvalues that stand above its bulk, and how many directions carry it."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LARGEST = 50
# With fewer gaps than this there is no bulk to speak of.
_FEWEST = 8
_EPS = torch.finfo(torch.float64).eps


class Bulk(NamedTuple):
    """outliers: how many eigenvalues stand above the bulk; edge: the bulk's largest eigenvalue.

    -1 and nan where fewer than 9 of the largest quarter lie above the noise floor.
    """

    outliers: int
    edge: float


def bulk(eigenvalues: Tensor, noise_floor: float = 0.0) -> Bulk:
    """The edge of the bulk of all eigenvalues [n], in any order, and how many stand above it.

    The gaps g_1 .. g_m between the logarithms of the largest eigenvalues (of 51 at most, of a quarter of them, above
    the noise floor) are split where that is likeliest: the first i of them exponential with a mean of their own, the
    others exponential with the means b r^(-1/3), r = 1, 2 .. counted from the edge, as where a density ends like
    a square root: there the r-th eigenvalue is r^(2/3) away from the edge (for random matrices Tracy and Widom, 1994).
    i is at most m / 2, and 0 unless the likelihood gains more than a factor of m, the number of splits looked at.
    The rule does not depend on the unit of the eigenvalues. For a classifier with C classes it finds about C of them
    (Sagun, Evci, Ugur Guney, Dauphin and Bottou, 2017; Papyan, 2019).
    noise_floor: 0 or above, in units of the eigenvalues.
    """
    values = eigenvalues.double().sort(descending=True).values[: min(_LARGEST + 1, math.ceil(len(eigenvalues) / 4))]
    values = values[values > max(0.0, noise_floor)].cpu()
    m = len(values) - 1
    if m < _FEWEST:
        return Bulk(-1, math.nan)
    # A repeated value has a gap of 0, of which the rounding alone is known.
    gaps = (values[:-1].log() - values[1:].log()).clamp(min=max(noise_floor / float(values[0]), _EPS))
    spacing = torch.arange(1, m + 1, dtype=torch.float64, device="cpu") ** (-1 / 3)
    costs = [_cost(gaps, i, spacing) for i in range(m // 2 + 1)]
    outliers = min(range(len(costs)), key=costs.__getitem__)
    if costs[0] - costs[outliers] <= math.log(m):
        outliers = 0
    return Bulk(outliers, float(values[outliers]))


def _cost(gaps: Tensor, i: int, spacing: Tensor) -> float:
    """-log of the largest likelihood with i outliers, up to a constant."""
    above, below = gaps[:i], gaps[i:] / spacing[: len(gaps) - i]
    cost = len(below) * math.log(float(below.mean())) + float(spacing[: len(below)].log().sum())
    return cost + (i * math.log(float(above.mean())) if i > 0 else 0.0)


def effective_rank(eigenvalues: Tensor, noise_floor: float = 0.0) -> float:
    """exp(-sum_i p_i log p_i), p_i = |lambda_i| / sum |lambda|, over all eigenvalues [n] outside the noise floor.

    Between 1 (one direction carries all) and n (all carry the same); nan where nothing lies outside the floor.
    Source: Roy and Vetterli (2007), Definition 1; for a symmetric matrix |lambda| are the singular values.
    """
    size = eigenvalues.double().abs()
    size = size[size > max(0.0, noise_floor)]
    if len(size) == 0:
        return math.nan
    p = size / size.max()
    p = p / p.sum()
    return float(torch.exp(-torch.xlogy(p, p).sum()))
