"""Densities over an axis that is linear near 0 and logarithmic beyond: what a spectrum of many decades needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessrun.record import Spectrum
from hessrun.report.groups import Array

_MOST_DECADES = 7
_POINTS_A_DECADE = 40
_WIDTH = 0.06  # of the smoothing Gaussian, in decades


@dataclass(frozen=True)
class Decades:
    """A grid of eigenvalues. threshold: up to which the axis is linear, above 0; low, high: ends in decades.

    The position t of an eigenvalue is sign(lambda) (1 + log10(|lambda| / threshold)), and lambda / threshold within
    the threshold: a unit of t is a decade.
    """

    threshold: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[Array], noise_floor: float) -> "Decades":
        """The grid that holds all values [*]; linear within the noise floor, seven decades at most."""
        finite = np.concatenate([v[np.isfinite(v)] for v in values])
        widest = float(np.abs(finite).max(initial=0.0)) or 1.0
        floor = max(noise_floor if math.isfinite(noise_floor) else 0.0, widest * 10.0**-_MOST_DECADES)
        # Where nothing lies near 0, no room is spent on it.
        outside = np.abs(finite)[np.abs(finite) > floor]
        floor = max(floor, 0.1 * float(outside.min(initial=widest)) if len(outside) == len(finite) else floor)
        threshold = 10.0 ** math.floor(math.log10(min(widest, floor)))
        bare = cls(threshold, 0.0, 0.0)
        ends = bare.positions(np.array([finite.min(initial=0.0), finite.max(initial=0.0)]))
        return cls(threshold, float(ends[0]) - 0.4, float(ends[1]) + 0.4)

    def positions(self, values: Array) -> Array:
        """t of eigenvalues, in decades."""
        scaled = np.asarray(values, dtype=float) / self.threshold
        outside = np.sign(scaled) * (1 + np.log10(np.maximum(np.abs(scaled), 1.0)))
        return np.where(np.abs(scaled) <= 1, scaled, outside)

    @property
    def ticks(self) -> Array:
        """t of the grid's points [g]."""
        return np.linspace(self.low, self.high, max(3, round((self.high - self.low) * _POINTS_A_DECADE)))

    @property
    def grid(self) -> Array:
        """The eigenvalues at the grid's points [g]."""
        t = self.ticks
        outside = np.sign(t) * 10 ** np.maximum(np.abs(t) - 1, 0.0)
        return np.asarray(self.threshold * np.where(np.abs(t) <= 1, t, outside), dtype=float)


def densities(spectrum: Spectrum, decades: Decades) -> Array | None:
    """The share of eigenvalues per decade at the grid's points: [1, g] of exact ones, [probes, g] of a density.

    None where the ends alone are known. Smoothed by a Gaussian of 0.06 decades, so that the area is 1.
    """
    if spectrum.eigenvalues.size:
        nodes, weights = spectrum.eigenvalues[None, :], np.full((1, spectrum.eigenvalues.size), 1 / spectrum.n)
    elif spectrum.density_nodes.size:
        nodes, weights = spectrum.density_nodes, spectrum.density_weights
    else:
        return None
    t = decades.ticks
    spacing = t[1] - t[0]
    kernel = np.exp(
        -0.5
        * (np.arange(-math.ceil(4 * _WIDTH / spacing), math.ceil(4 * _WIDTH / spacing) + 1) * spacing / _WIDTH) ** 2
    )
    kernel /= kernel.sum() * spacing
    edges = np.append(t - spacing / 2, t[-1] + spacing / 2)
    rows = [
        np.convolve(np.histogram(decades.positions(n), edges, weights=w)[0], kernel, mode="full")
        for n, w in zip(nodes, weights, strict=True)
    ]
    reach = len(kernel) // 2
    return np.array([row[reach : reach + len(t)] for row in rows])
