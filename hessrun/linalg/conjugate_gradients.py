"""Conjugate gradients for min m(d) = g'd + 1/2 d'B d, where B is known by its products alone.

The path of the iterates does not depend on where it is left: `ConjugateGradientPath` keeps its residuals, so that a
smaller or larger radius, or a damped matrix, walks the same path again and pays only for products not made before.

Legend: g gradient, z iterate, r = g + B z residual, P preconditioner, rho = r'P r, p search direction, alpha and beta
the two coefficients, tau the part of a segment that lies within the radius. All are kept for g / |g|, so that nothing
under- or overflows.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.linalg.norms import norm
from hessrun.options import fraction, integer

Multiply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """Where a path was left.

    d: [n]; length: |d|; decrease: -(g'd + 1/2 d'B d), the sum of what each iteration gained.
    iterations: segments walked, 0 for -P g itself; on_boundary: |d| is the radius.
    negative_curvature: the last direction has none that is positive.
    """

    d: Tensor
    length: float
    decrease: float
    iterations: int
    negative_curvature: bool = False
    on_boundary: bool = False


@dataclass(frozen=True)
class _Segment:
    """One iteration on the host: p'Bp, |Bp|, p'p, z'p, z'z and r'P r."""

    curvature: float
    image: float
    pp: float
    zp: float
    zz: float
    rho: float

    @property
    def alpha(self) -> float:
        return self.rho / self.curvature

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.curvature) and math.isfinite(self.image)

    def is_positive(self, eps: float) -> bool:
        return self.curvature > eps * math.sqrt(self.pp) * self.image

    def squared_length(self, alpha: float) -> float:
        """|z + alpha p|^2; without a preconditioner the terms are positive, so that nothing cancels."""
        return max(0.0, self.zz + 2 * alpha * self.zp + alpha * alpha * self.pp)

    def crossing(self, radius: float) -> float:
        """tau >= 0 with |z + tau p| = radius, in the form in which nothing cancels."""
        room = max(0.0, radius * radius - self.zz)
        root = math.sqrt(self.zp * self.zp + self.pp * room)
        if self.zp > 0:
            return room / (self.zp + root)
        return (root - self.zp) / self.pp if self.pp > 0 else 0.0


class ConjugateGradientPath:
    """The iterates z_0 = 0, z_1, ... of conjugate gradients on B d = -g, made as far as they are asked for.

    multiply: v [n] -> B v, B symmetric; gradient: g [n], finite.
    tolerance: stop where |r| <= tolerance |g|, in [0, 1); max_iterations: products at most, 1 or above.
    precondition: v -> P v, P symmetric positive definite and near B^-1 (Nocedal & Wright, 2006, algorithm 5.3); a
    radius still bounds the Euclidean |d|, which then may grow and fall along the path: the first crossing counts.
    precision: relative rounding of the products, by default that of the gradient's dtype.
    It also stops where an iteration gains less than rounding leaves of the decrease.
    Memory: one vector a product, two with a preconditioner.
    """

    def __init__(
        self,
        multiply: Multiply,
        gradient: Tensor,
        *,
        tolerance: float,
        max_iterations: int,
        precondition: Multiply | None = None,
        precision: float | None = None,
    ) -> None:
        fraction("tolerance", tolerance)
        integer("max_iterations", max_iterations, minimum=1)
        self._multiply = multiply
        self._tolerance, self._max = tolerance, max_iterations
        self._eps = torch.finfo(gradient.dtype).eps if precision is None else precision
        size = norm(gradient)
        is_open = 0 < size < math.inf
        self._size, self._squares = (size, [1.0]) if is_open else (1.0, [0.0])
        unit = gradient / self._size
        self._residuals = [unit]
        # P r and r'P r; without P they are r and r'r themselves.
        self._precondition, self._steepest, self._rhos = precondition, self._residuals, self._squares
        if precondition is not None:
            self._steepest = [precondition(unit)]
            self._rhos = [float(torch.dot(unit, self._steepest[0]))]
        self._segments: list[_Segment] = []
        self._newest = unit

    @property
    def products(self) -> int:
        """Products made so far."""
        return len(self._segments)

    @property
    def completed(self) -> int:
        """Iterations that went to their end so far: as many as there are `pairs`."""
        return len(self._residuals) - 1

    @property
    def curvatures(self) -> list[float]:
        """p'Bp / p'p of every direction so far: all lie between the extreme eigenvalues of B."""
        return [at.curvature / at.pp for at in self._segments]

    def step(self, radius: float) -> Step:
        """Where the path ends or leaves |d| <= radius (Steihaug, 1983; Nocedal & Wright, 2006, algorithm 7.2).

        radius: above 0. A direction p with p'Bp <= eps |p| |Bp| is followed to the boundary; with radius=inf, which has
        none, it ends the path at z, or at -P g where that is z_0 (ibid., algorithm 7.1). So does a product that is not
        finite, except that B is taken for 0 on the way from z_0.
        """
        limit = radius / self._size
        z, p, zz, j = torch.zeros_like(self._residuals[0]), -self._steepest[0], 0.0, 0
        decrease, gained = 0.0, math.inf
        while j < self._max and self._is_open(j) and gained > self._eps * decrease:
            at = self._segment(j, z, p)
            is_positive = at.is_finite and at.is_positive(self._eps)
            if not is_positive or at.squared_length(at.alpha) >= limit * limit:
                return self._cut(at, j, z, p, limit, decrease, is_positive=is_positive)
            gained = 0.5 * at.alpha * at.rho
            decrease, z, zz = decrease + gained, z + at.alpha * p, at.squared_length(at.alpha)
            self._complete(j)
            j += 1
            p = self._next_direction(p, j)
        return self._made(z, math.sqrt(zz), decrease, j)

    def _is_open(self, j: int) -> bool:
        return self._squares[j] > self._tolerance * self._tolerance and self._rhos[j] > 0

    def _next_direction(self, p: Tensor, j: int) -> Tensor:
        return (self._rhos[j] / self._rhos[j - 1]) * p - self._steepest[j]

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """alpha p and alpha B p, each [n], of every completed iteration: curvature pairs that cost no product."""
        p = -self._steepest[0]
        for j in range(self.completed):
            yield self._segments[j].alpha * p, self._residuals[j + 1] - self._residuals[j]
            p = self._next_direction(p, j + 1)

    def _cut(
        self, at: _Segment, j: int, z: Tensor, p: Tensor, limit: float, decrease: float, *, is_positive: bool
    ) -> Step:
        """The step whose last segment is not walked to its end."""
        is_negative = at.is_finite and not is_positive
        if j > 0 and (math.isinf(limit) or not at.is_finite):
            return self._made(z, math.sqrt(at.zz), decrease, j, is_negative)
        on_boundary = math.isfinite(limit)
        tau = at.crossing(limit) if on_boundary else 1.0
        decrease += tau * at.rho
        if at.is_finite:
            decrease -= 0.5 * tau * tau * at.curvature
        length, walked = math.sqrt(at.squared_length(tau)), j + 1 if on_boundary else 0
        return self._made(z + tau * p, length, decrease, walked, is_negative, on_boundary)

    def shifted(self, shift: float) -> Step:
        """The minimiser of m(d) + 1/2 shift |d|^2 over the Krylov space walked so far; `decrease` is that of m.

        No product is made: in the basis of the normalised residuals B is the tridiagonal matrix T of Lanczos, and
        (B + shift I) has the same space (Nocedal & Wright, 2006, section 5.1; Frommer and Maass, 1999).
        shift: 0 or above. At least one iteration must have been completed, and there is no preconditioner.
        """
        T = self._tridiagonal()
        e = T.new_zeros(len(T))
        e[0] = -1.0
        y = torch.linalg.solve(T + shift * torch.eye(len(T)).to(T), e)
        decrease = float(y @ e - 0.5 * (y @ T @ y))
        d = torch.zeros_like(self._residuals[0])
        for weight, r, rr in zip(y.tolist(), self._residuals, self._squares, strict=False):
            d = d + (weight / math.sqrt(rr)) * r
        return self._made(d, float(torch.linalg.vector_norm(y)), decrease, len(T))

    def _tridiagonal(self) -> Tensor:
        """T [k, k] in float64 from the coefficients of the k completed iterations."""
        k = len(self._residuals) - 1
        T = torch.zeros(k, k, dtype=torch.float64, device="cpu")
        for j in range(k):
            T[j, j] = 1 / self._segments[j].alpha
            if j > 0:
                beta, alpha = self._squares[j] / self._squares[j - 1], self._segments[j - 1].alpha
                T[j, j] += beta / alpha
                T[j, j - 1] = T[j - 1, j] = -math.sqrt(beta) / alpha
        return T

    def _segment(self, j: int, z: Tensor, p: Tensor) -> _Segment:
        if j == len(self._segments):
            self._newest = self._multiply(p)
            Bp = self._newest
            curvature, image, pp, zp, zz = numbers(
                torch.dot(p, Bp), torch.linalg.vector_norm(Bp), torch.dot(p, p), torch.dot(z, p), torch.dot(z, z)
            )
            self._segments.append(_Segment(curvature, image, pp, zp, zz, self._rhos[j]))
        return self._segments[j]

    def _complete(self, j: int) -> None:
        if j == len(self._residuals) - 1:
            r = torch.add(self._residuals[j], self._newest, alpha=self._segments[j].alpha)
            self._residuals.append(r)
            if self._precondition is None:
                self._squares.append(float(torch.dot(r, r)))
                return
            y = self._precondition(r)
            rr, rho = numbers(torch.dot(r, r), torch.dot(r, y))
            self._steepest.append(y)
            self._squares.append(rr)
            self._rhos.append(rho)

    def _made(
        self,
        z: Tensor,
        length: float,
        decrease: float,
        iterations: int,
        is_negative: bool = False,
        on_boundary: bool = False,
    ) -> Step:
        """Back from g / |g| to g."""
        size = self._size
        return Step(size * z, size * length, size * size * decrease, iterations, is_negative, on_boundary)


def steihaug(multiply: Multiply, gradient: Tensor, radius: float, tolerance: float, max_iterations: int) -> Step:
    """Approximately min g'd + 1/2 d'B d over |d| <= radius (Steihaug, 1983; Nocedal & Wright, 2006, algorithm 7.2).

    multiply: v [n] -> B v; gradient: g [n]; radius: above 0; tolerance: |g + B d| <= tolerance |g|, in [0, 1);
    max_iterations: products at most, 1 or above. Where other radii may follow, keep a `ConjugateGradientPath`.
    """
    return ConjugateGradientPath(multiply, gradient, tolerance=tolerance, max_iterations=max_iterations).step(radius)
