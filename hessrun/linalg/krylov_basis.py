"""The basis that thick-restart Lanczos grows, looks at and compresses: orthonormal, with the images of its vectors.

Legend: P the metric, the identity unless one is given; V [n, j] with V'P V = I; Z = P V; W = H Z the images, so that
T = Z'W is the projection of H P, which is self-adjoint in the inner product u'P v; theta and Y the eigenpairs of T. A
Ritz pair is (theta, V y), and its residual W y - theta V y needs no further product.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hessrun.errors import NotFiniteError, OptionError
from hessrun.linalg.random import normal
from hessrun.linalg.rows import row_combination, row_products

# What is left of a vector after orthogonalisation is rounding below this many eps of its length.
_BREAKDOWN = 100
# So many random directions in a row of which only rounding is left are no chance.
_TRIES = 10


class IndefiniteMetricError(OptionError):
    """A metric that is not positive definite, or not to rounding: it makes no inner product."""


@dataclass
class Wanted:
    """Which Ritz values are asked for, of values in ascending order."""

    smallest: int
    largest: int
    magnitude: int

    @property
    def count(self) -> int:
        return max(self.smallest + self.largest, self.magnitude)

    def ends(self, theta: Sequence[float]) -> tuple[int, int]:
        """How many at the lower and at the upper end."""
        if self.magnitude == 0:
            return self.smallest, self.largest
        top = sorted(theta, key=abs, reverse=True)[: self.magnitude]
        negative = sum(value < 0 for value in top)
        return negative, len(top) - negative

    def select(self, theta: Sequence[float], extra: int = 0) -> list[int]:
        """Indices of the wanted ones, and of `extra` more, next to them, shared between the ends."""
        low, high = self.ends(theta)
        # Which end the wanted |theta| lie at may yet change.
        low_extra = extra // 2 if self.magnitude else extra * low // max(1, low + high)
        first = min(low + low_extra, len(theta))
        return [*range(first), *range(max(first, len(theta) - high - (extra - low_extra)), len(theta))]


@dataclass
class Look:
    """The Ritz decomposition of a basis: all theta and Y, and what the wanted pairs of `index` leave, R [n, p].

    values, residuals: theta of the wanted pairs and the lengths of R, [p]; largest: of the residuals.
    """

    theta: Sequence[float]
    Y: Tensor
    index: Sequence[int]
    values: Tensor
    R: Tensor
    residuals: Tensor
    largest: float
    ends: tuple[int, int]

    def worst(self, count: int) -> list[Tensor]:
        """The largest residual vectors, [n] each."""
        return list(self.R[:, self.residuals.topk(min(count, len(self.residuals))).indices].unbind(1))

    def is_crowded(self, width: float) -> bool:
        """Whether two of the wanted values, or one of them and the next, are no further apart than `width`."""
        (low, high), j = self.ends, len(self.theta)
        gaps = [above - below for below, above in pairwise(self.theta)]
        return any(gap <= width for gap in [*gaps[:low], *gaps[max(0, j - 1 - high) :]])

    @property
    def neighbours(self) -> list[float]:
        """How far the next Ritz value is from the wanted ones, at each end that is wanted."""
        (low, high), j = self.ends, len(self.theta)
        if low + high >= j:
            return []
        gaps = [self.theta[low] - self.theta[low - 1]] if low > 0 else []
        return gaps + ([self.theta[j - high] - self.theta[j - high - 1]] if high > 0 else [])


class KrylovBasis:
    """At most m vectors of length n like those of `empty` [n, m]; see the file's legend.

    size: how many there are; products: applications of H; scale: the largest |theta| met.
    """

    def __init__(
        self,
        apply: Callable[[Tensor], Tensor],
        empty: Tensor,
        generator: torch.Generator,
        metric: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._apply, self._metric, self._generator = apply, metric, generator
        self.V, self.W = empty, torch.zeros_like(empty)
        self.Z = self.V if metric is None else torch.zeros_like(empty)
        self.size, self.products = 0, 0
        self.scale = 0.0
        self._newest = 0
        m = empty.shape[1]
        # T as far as it is known: of so many vectors.
        self._T, self._known = torch.zeros(m, m, dtype=torch.float64, device=empty.device), 0
        self._skew, self._largest_skew = torch.zeros(1, 1, dtype=torch.float64, device=empty.device), 0.0

    @property
    def noise(self) -> float:
        """The asymmetry of the products, ||T - T'||_2 / 2, of the T looked at whose T - T' had the largest squares."""
        return float(torch.linalg.matrix_norm(self._skew, 2)) / 2

    @property
    def is_full(self) -> bool:
        """The basis spans the whole space."""
        return self.size == self.V.shape[0]

    @property
    def room(self) -> int:
        """How many vectors more it can hold."""
        return self.V.shape[1] - self.size

    @property
    def onward(self) -> list[Tensor]:
        """What the images of the newest block, [n] each, leave outside the basis: where its Krylov space goes on."""
        return self._orthogonal(self._images)

    @property
    def _images(self) -> list[Tensor]:
        return list(self.W[:, self.size - self._newest : self.size].unbind(1))

    def expand(self, directions: Sequence[Tensor]) -> None:
        """Add the parts of the directions, [n] each, orthogonal to the basis, random ones where nothing is left."""
        self._grow(directions, replaced=True)

    def expand_at_random(self, count: int) -> None:
        """Add `count` random directions."""
        self._grow([self.random() for _ in range(count)], replaced=True)

    def expand_within(self, directions: Sequence[Tensor]) -> None:
        """As `expand`, but without those of which nothing is left but rounding."""
        self._grow(directions, replaced=False)

    def _grow(self, directions: Sequence[Tensor], *, replaced: bool) -> None:
        directions, before = directions[: self.room], self.size
        for direction, once in zip(directions, self._orthogonal(directions), strict=True):
            taken, tries = self._admit(direction, once, self.scale), 0
            while replaced and not taken:
                random, tries = self.random(), tries + 1
                taken = self._admit(random, self._orthogonal([random])[0], 0.0)
                if tries == _TRIES and not taken:
                    raise IndefiniteMetricError("The metric is singular to rounding: no direction is left in it.")
        added = slice(before, self.size)
        self._newest = self.size - before
        if self._newest > 0:
            self.W[:, added] = self._apply(self.Z[:, added])
            self.products += self._newest

    def _admit(self, direction: Tensor, once: Tensor, scale: float) -> bool:
        """Take up what is left of `direction`, orthogonalised `once`; False where that is nothing but rounding.

        scale: of the matrix that `direction` is a product with, whose rounding it holds; 0 where it is none.
        """
        length, _ = self._length(direction)
        (v,) = self._orthogonal([once])
        left, z = self._length(v)
        eps = torch.finfo(self.V.dtype).eps
        # Rounding is all there is: of the direction, or of a residual that belongs to a converged pair.
        if not left > _BREAKDOWN * eps * max(length, eps * scale):
            return False
        # Twice is enough unless the second time, too, took most of it away (Daniel, Gragg, Kaufman, Stewart, 1976).
        if not float(torch.linalg.vector_norm(once - v)) < left:
            (v,) = self._orthogonal([v / left])
            left, z = self._length(v)
        self.V[:, self.size] = v / left
        if self.Z is not self.V:
            self.Z[:, self.size] = z / left
        self.size += 1
        return True

    def steps(self, count: int) -> None:
        """Lanczos steps from the newest block, until `count` vectors or more have come, or no block has room.

        A block goes on as a whole: of its images all must be followed, or the residuals keep what was left of one.
        """
        end = min(self.size + count, self.V.shape[1])
        while self.size < end and (self._newest <= self.room or self.V.shape[1] == self.V.shape[0]):
            self.expand(self._images)

    def random(self, length: int | None = None) -> Tensor:
        """Standard normal numbers, [n] or [length], drawn on the host."""
        n = self.V.shape[0] if length is None else length
        return normal(n, generator=self._generator).to(self.V)

    def misses(self, space: Tensor) -> float:
        """The share of the first image of the newest block that lies outside the span of `space` [n, s]."""
        w, Q = self.W[:, self.size - self._newest], torch.linalg.qr(space).Q
        left = w - Q @ (Q.T @ w)
        return float(torch.linalg.vector_norm(left) / torch.linalg.vector_norm(w))

    def look(self, wanted: Wanted) -> Look:
        V, W, Z = (A[:, : self.size] for A in (self.V, self.W, self.Z))
        known, self._known = self._known, self.size
        T = self._T[: self.size, : self.size]
        T[:, known:], T[known:, :known] = Z.T @ W[:, known:], Z[:, known:].T @ W[:, :known]
        if not bool(T.isfinite().all()):
            raise NotFiniteError("The products with the matrix are not finite: there are no eigenvalues at this point.")
        skew = T - T.T
        if (squares := float(torch.linalg.vector_norm(skew))) > self._largest_skew:
            self._largest_skew, self._skew = squares, skew
        theta, Y = torch.linalg.eigh((T + T.T) / 2)
        all_values: list[float] = theta.tolist()
        self.scale = max(self.scale, -all_values[0], all_values[-1])
        index = wanted.select(all_values)
        values, rows = theta[index], Y[:, index].T.to(V.dtype)
        # Written by rows, as V and W lie: four times as fast here as W y - V y theta.
        R = torch.addmm(rows @ W.T, values.unsqueeze(1).to(V.dtype) * rows, V.T, alpha=-1).T
        residuals = self._lengths(R)
        return Look(all_values, Y, index, values, R, residuals, float(residuals.max()), wanted.ends(all_values))

    def is_noise(self, look: Look, tolerance: float) -> bool:
        """The noise is above the tolerance, and the residuals are no more than it can leave of them.

        It is seen in the basis alone; a residual has n components of it.
        """
        noise = self.noise
        return noise > tolerance * self.scale and look.largest <= noise * self.V.shape[0] ** 0.5

    def rivals(self, look: Look, allowed: float) -> list[Tensor]:
        """The residuals, [n] each, of the Ritz pairs next to the wanted ones that may yet belong to a larger |lambda|.

        Within |r| of theta there is an eigenvalue; what is left of r within `allowed` is none that could be larger.
        """
        (low, high), least = look.ends, float(look.values.abs().min())
        found = []
        for at in sorted({low, len(look.theta) - 1 - high}) if low + high < len(look.theta) else ():
            theta, y = look.theta[at], look.Y[:, at].to(self.V.dtype)
            r = self.W[:, : self.size] @ y - theta * (self.V[:, : self.size] @ y)
            length = float(self._lengths(r.unsqueeze(1)))
            if length > allowed and abs(theta) + length > least + allowed:
                found.append(r)
        return found

    def vectors(self, look: Look) -> Tensor:
        """The wanted Ritz vectors, [n, p]."""
        return (look.Y[:, look.index].T.to(self.V.dtype) @ self.V[:, : self.size].T).T

    def compress(self, look: Look, index: Sequence[int]) -> None:
        """Keep the Ritz vectors of `index` alone."""
        rows, j = look.Y[:, index].T.to(self.V.dtype), self.size
        self.size, self._known, self._newest = len(index), 0, 0
        for A in (self.V, self.W) if self.Z is self.V else (self.V, self.W, self.Z):
            A[:, : self.size] = (rows @ A[:, :j].T).T

    def _orthogonal(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The vectors, [n] each, without their parts in the span of the basis."""
        V, Z = (A[:, : self.size].T for A in (self.V, self.Z))
        return [row_combination(v, V, -part) for v, part in zip(vectors, row_products(Z, vectors), strict=True)]

    def _length(self, v: Tensor) -> tuple[float, Tensor]:
        """sqrt(v'P v), and P v."""
        if self._metric is None:
            return float(torch.linalg.vector_norm(v)), v
        z = self._metric(v)
        square, size = float(torch.dot(v, z)), float(torch.linalg.vector_norm(v) * torch.linalg.vector_norm(z))
        if not math.isfinite(square):
            raise NotFiniteError(f"The metric is not finite: v'P v = {square} for some v.")
        if square <= 0 < size:
            raise IndefiniteMetricError(f"The metric is not positive definite: v'P v = {square:.1e} for some v.")
        return square**0.5, z

    def _lengths(self, R: Tensor) -> Tensor:
        if self._metric is None:
            lengths: Tensor = torch.linalg.vector_norm(R, dim=0).double()
            return lengths
        return torch.tensor([self._length(r)[0] for r in R.unbind(1)], dtype=torch.float64, device=R.device)
