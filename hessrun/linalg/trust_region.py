"""The trust-region subproblem with a dense matrix: minimise g'd + 1/2 d'H d over |d| <= radius.

d is a solution exactly if (H + lambda I) d = -g with H + lambda I positive semidefinite, lambda >= 0 and
lambda (radius - |d|) = 0 (Nocedal & Wright, 2006, theorem 4.1). Newton's method on 1/|d(lambda)| = 1/radius, one
Cholesky factorisation an iteration (ibid., algorithm 4.3), is kept inside shrinking bounds; in the hard case, where
every admissible d(lambda) is too short, a null direction of H + lambda I is added (Moré and Sorensen, 1983, section 3).

That is done only along curvature that is negative by more than rounding. Where H is merely singular, d is the interior
solution of H + lambda I with lambda at the level of rounding: nearly the shortest of all solutions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linalg.cholesky import cholesky, definite_factor, rounding_level, start_vector
from hessrun.linalg.host import numbers
from hessrun.linalg.norms import eigenvalue_bound, norm

_ITERATIONS = 60
_INVERSE_ITERATIONS = 4


@dataclass(frozen=True)
class TrustRegionStep:
    """d: [n]; length: |d|; multiplier: lambda; predicted: -(g'd + 1/2 d'H d) >= 0, the model's decrease.

    on_boundary: |d| is the radius, to the tolerance; is_indefinite: H was found to have an eigenvalue that is negative
    by more than rounding.
    """

    d: Tensor
    length: float
    multiplier: float
    predicted: float
    on_boundary: bool
    is_indefinite: bool


class TrustRegionModel:
    """The model at one point, to be solved for one radius after another.

    H: [n, n], symmetric; g: [n]; both finite.
    """

    def __init__(self, H: Tensor, g: Tensor) -> None:
        self._H, self._g = H, g
        self._bound = eigenvalue_bound(H)
        self._g_size = norm(g)
        least = float(H.diagonal().amin())
        self._rounding = rounding_level(H, self._bound)
        self.is_indefinite = least < -self._rounding
        # What the factorisations have shown so far: H + lambda I is indefinite for lambda < floor.
        self._floor = max(0.0, -least)
        # The lambda of an interior solution: 0, or the level of rounding once H has turned out to be singular.
        self._rest = 0.0

    def solve(self, radius: float, *, guess: float = 0.0, tolerance: float = 0.1) -> TrustRegionStep:
        """The minimiser within `radius` > 0; guess: a multiplier to try first, 0 or above.

        tolerance: in (0, 1), of ||d| - radius| / radius; in the hard case the model's value is within
        2 tolerance of the optimum, relative to it.
        """
        low = max(self._floor, self._g_size / radius - self._bound)
        # A little above, since in the hard case the multiplier itself gives no factor.
        high = 1.01 * max(low, self._g_size / radius + self._bound)
        shift = min(max(guess, low), high)
        best: tuple[Tensor, float] | None = None
        for _ in range(_ITERATIONS):
            factor, fine = definite_factor(self._H) if shift == 0 else cholesky(self._H, shift)
            if not fine:
                if shift >= high:
                    break
                if shift < self._rounding:
                    self._rest = self._floor = low = shift = self._rounding
                else:
                    self.is_indefinite = True
                    self._floor = low = max(low, shift)
                    shift = _inside(low, high)
                continue
            d = torch.cholesky_solve(-self._g[:, None], factor)[:, 0]
            half = torch.linalg.solve_triangular(factor, d[:, None], upper=False)[:, 0]
            length, half_length = numbers(torch.linalg.vector_norm(d), torch.linalg.vector_norm(half))
            best = d, shift
            if abs(length - radius) <= tolerance * radius or (shift <= self._rest and length <= radius):
                break
            if length < radius:
                high = shift
                bent, curvature = self._hard_case(factor, d, shift, radius, tolerance)
                if curvature < -self._rounding:
                    self.is_indefinite = True
                    self._floor = low = max(low, -curvature)
                    if bent is not None:
                        best = bent, shift
                        break
            else:
                low = max(low, shift)
            if high - low <= torch.finfo(d.dtype).eps * high:
                break
            newton = shift + (length / half_length) ** 2 * (length - radius) / radius if half_length > 0 else low
            if newton <= low:
                shift = self._rest if low <= self._rest < shift and not self.is_indefinite else _inside(low, high)
            else:
                shift = newton if newton < high else _inside(low, high)
        if best is None:  # not even the upper bound gave a factor: H is beyond what its precision can tell
            best = -self._g * (radius / self._g_size if self._g_size > 0 else 0.0), high
        return self._step(*best, radius, tolerance)

    def _hard_case(
        self, factor: Tensor, d: Tensor, shift: float, radius: float, tolerance: float
    ) -> tuple[Tensor | None, float]:
        """d + tau z on the boundary, z nearly a null vector of H + shift I, where that is good enough; and z'H z."""
        z = start_vector(d)
        for _ in range(_INVERSE_ITERATIONS):
            z = torch.cholesky_solve(z[:, None], factor)[:, 0]
            z = z / torch.linalg.vector_norm(z)
        across, curvature, dz, dd, along = numbers(
            torch.linalg.vector_norm(factor.T @ z) ** 2,
            torch.dot(z, self._H @ z),
            torch.dot(d, z),
            torch.dot(d, d),
            torch.linalg.vector_norm(factor.T @ d) ** 2,
        )
        room = radius * radius - dd
        root = math.sqrt(dz * dz + room)
        # The smaller root: the less of z, the smaller the loss z'(H + shift I) z tau^2 / 2.
        tau = room / (dz + math.copysign(root, dz))
        is_good = tau * tau * across <= tolerance * (2 - tolerance) * (along + shift * radius * radius)
        return (d + tau * z if is_good else None), curvature

    def _step(self, d: Tensor, shift: float, radius: float, tolerance: float) -> TrustRegionStep:
        predicted = -(torch.dot(self._g, d) + 0.5 * torch.dot(d, self._H @ d))
        length, decrease = numbers(torch.linalg.vector_norm(d), predicted)
        on_boundary = length >= (1 - tolerance) * radius
        multiplier = shift if shift > self._rest else 0.0
        return TrustRegionStep(d, length, multiplier, decrease, on_boundary, self.is_indefinite)


def _inside(low: float, high: float) -> float:
    """Between the bounds, nearer to the lower one, in whatever order of magnitude it is."""
    return max(math.sqrt(low * high), low + 0.01 * (high - low))
