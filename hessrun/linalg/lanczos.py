"""Extreme eigenpairs of a symmetric operator by thick-restart Lanczos, without ghosts.

Single vectors; full reorthogonalisation, twice; restarts that keep the wanted Ritz vectors (Wu & Simon, 2000). When the
residuals are small, a confirmation follows: the pairs found stay in the basis and some steps are taken from a fresh
random direction, since a Krylov space holds but one vector of a repeated eigenvalue's eigenspace.

Legend: V [n, j] orthonormal basis, W = H V its images, T = V'W its projection, theta and Y the eigenpairs of T; a Ritz
pair is (theta, V y), and its residual W y - theta V y needs no further product.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hessrun.errors import NotFiniteError, OptionError
from hessrun.options import integer, non_negative

_BASIS = 40
# Steps between two looks at the Ritz values; a look costs about as much as two steps.
_STRIDE = 5
# Steps from a fresh random direction that confirm: eigenvalues missed show after so many.
_CONFIRM_STEPS = {torch.float64: 12}
_CONFIRM_STEPS_ELSE = 30
# A neighbour whose distance shrinks by less than this share over a stride will not overtake.
_SLOW = 0.1
# What is left of a vector after orthogonalisation is rounding below this many eps of its length.
_BREAKDOWN = 100


@dataclass(frozen=True)
class Eigenpairs:
    """Approximate eigenpairs, in ascending order of their values.

    values [p]; vectors [n, p], orthonormal; residuals [p]: 2-norms of H v - theta v for unit v, from the products made.
    n_smallest, n_largest: how many stand at the lower and at the upper end; they share pairs where all are wanted.
    products: applications of H; scale: the largest |theta| seen, an estimate of |lambda|max from below.
    noise: the asymmetry of the products, ||T - T'||_2 / 2, in units of the eigenvalues.
    converged: residuals and noise are within the tolerance; complete: and a confirmation found nothing beyond them.
    A confirmation is strong evidence, no proof: of a dozen eigenvalues that differ by some tolerances alone, the wrong
    ones may be reported, with values that are right to the width of that cluster.
    message: a sentence on what happened.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    n_smallest: int
    n_largest: int
    products: int
    scale: float
    noise: float
    converged: bool
    complete: bool
    message: str


@dataclass
class _Wanted:
    """Which Ritz values are asked for, of values in ascending order."""

    smallest: int
    largest: int
    magnitude: int

    @property
    def count(self) -> int:
        return max(self.smallest + self.largest, self.magnitude)

    def ends(self, theta: Tensor) -> tuple[int, int]:
        """How many at the lower and at the upper end."""
        if self.magnitude == 0:
            return self.smallest, self.largest
        top = theta.abs().topk(min(self.magnitude, len(theta))).indices
        negative = int((theta[top] < 0).sum())
        return negative, len(top) - negative

    def select(self, theta: Tensor, extra: int = 0) -> Tensor:
        """Indices of the wanted ones, and of `extra` more, next to them, shared between the ends."""
        low, high = self.ends(theta)
        low_extra = extra * low // max(1, low + high)
        index = torch.arange(len(theta), device=theta.device)
        return index[(index < low + low_extra) | (index >= len(theta) - high - (extra - low_extra))]


@dataclass
class _Look:
    """The Ritz decomposition of a basis: all theta and Y, and values and residuals of the wanted pairs."""

    theta: Tensor
    Y: Tensor
    index: Tensor
    residuals: Tensor
    worst: Tensor
    ends: tuple[int, int]

    @property
    def values(self) -> Tensor:
        return self.theta[self.index]

    @property
    def neighbours(self) -> list[float]:
        """How far the next Ritz value is from the wanted ones, at each end that is wanted."""
        (low, high), j = self.ends, len(self.theta)
        if low + high >= j:
            return []
        gaps = [float(self.theta[low] - self.theta[low - 1])] if low > 0 else []
        return gaps + ([float(self.theta[j - high] - self.theta[j - high - 1])] if high > 0 else [])


@dataclass
class _Basis:
    apply: Callable[[Tensor], Tensor]
    V: Tensor
    W: Tensor
    generator: torch.Generator
    size: int = 0
    products: int = 0
    noise: float = 0.0
    scale: float = field(default=0.0)

    @property
    def is_full(self) -> bool:
        """The basis spans the whole space."""
        return self.size == self.V.shape[0]

    def expand(self, direction: Tensor | None) -> None:
        """Add the part of `direction` [n] orthogonal to the basis, or a random one where nothing is left of it."""
        v = None if direction is None else self._orthonormal(direction)
        while v is None:
            random = torch.randn(self.V.shape[0], generator=self.generator, dtype=torch.float64, device="cpu")
            v = self._orthonormal(random.to(self.V))
        self.V[:, self.size] = v
        self.W[:, self.size] = self.apply(v)
        self.size += 1
        self.products += 1

    def _orthonormal(self, direction: Tensor) -> Tensor | None:
        length = float(torch.linalg.vector_norm(direction))
        V, v = self.V[:, : self.size], direction
        for _ in range(2):
            v = v - V @ (V.T @ v)
        left = float(torch.linalg.vector_norm(v))
        eps = torch.finfo(self.V.dtype).eps
        # Rounding is all there is: of the direction, or of a residual that belongs to a converged pair.
        if not left > _BREAKDOWN * eps * max(length, eps * self.scale):
            return None
        v = v / left
        v = v - V @ (V.T @ v)
        return v.div_(torch.linalg.vector_norm(v))

    def last_image(self) -> Tensor:
        return self.W[:, self.size - 1]

    def look(self, wanted: _Wanted) -> _Look:
        V, W = self.V[:, : self.size], self.W[:, : self.size]
        T = (V.T @ W).double()
        if not bool(T.isfinite().all()):
            raise NotFiniteError("The products with the matrix are not finite: there are no eigenvalues at this point.")
        self.noise = max(self.noise, float(torch.linalg.matrix_norm((T - T.T) / 2, 2)))
        theta, Y = torch.linalg.eigh((T + T.T) / 2)
        self.scale = max(self.scale, float(theta.abs().max()))
        index = wanted.select(theta)
        y = Y[:, index].to(V.dtype)
        R = W @ y - (V @ y) * theta[index].to(V.dtype)
        residuals = torch.linalg.vector_norm(R, dim=0).double()
        return _Look(theta, Y, index, residuals, R[:, int(residuals.argmax())], wanted.ends(theta))

    def vectors(self, look: _Look) -> Tensor:
        """The wanted Ritz vectors, [n, p]."""
        return self.V[:, : self.size] @ look.Y[:, look.index].to(self.V.dtype)

    def compress(self, look: _Look, index: Tensor) -> None:
        """Keep the Ritz vectors of `index` alone."""
        y, j = look.Y[:, index].to(self.V.dtype), self.size
        self.size = len(index)
        for A in (self.V, self.W):
            A[:, : self.size] = A[:, :j] @ y


def lanczos(
    apply: Callable[[Tensor], Tensor],
    n: int,
    *,
    smallest: int = 0,
    largest: int = 0,
    magnitude: int = 0,
    tolerance: float = 1e-6,
    max_products: int | None = None,
    start: Tensor | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> Eigenpairs:
    """The extreme eigenpairs of a symmetric H, given by v [n] -> H v [n].

    smallest, largest: how many at each end, 0 to n each; or magnitude: how many of largest |lambda|, instead of both.
    tolerance: on residuals and on the noise, relative to the largest |theta|, 0 or above.
    max_products: 1 or above, by default 10 n + 1000; at least as many as the pairs asked for are made.
    start: [n, s], vectors near the wanted ones (those of a matrix nearby), or None. seed: of the random directions.
    Memory: two matrices [n, m], m about 40, or twice the number of pairs where those are more.

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite.
    """
    wanted = _checked(n, smallest, largest, magnitude, tolerance, max_products, start, seed)
    confirm = _CONFIRM_STEPS.get(dtype, _CONFIRM_STEPS_ELSE)
    m = min(n, max(_BASIS, 2 * wanted.count + 16, wanted.count + confirm + 4))
    limit = max(10 * n + 1000 if max_products is None else max_products, min(n, wanted.count))
    empty = torch.zeros(n, m, dtype=dtype, device=device)
    basis = _Basis(apply, empty, empty.clone(), torch.Generator().manual_seed(seed))
    basis.expand(None if start is None else _combination(start.to(empty), basis.generator))
    while True:
        look = basis.look(wanted)
        small = len(look.index) >= min(n, wanted.count) and bool((look.residuals <= tolerance * basis.scale).all())
        if basis.is_full:
            return _result(basis, look, basis.vectors(look), wanted, tolerance, confirmed=True)
        if small:
            found, vectors = look, basis.vectors(look)
            _make_room(basis, look, wanted, confirm)
            look, at_rest = _confirmation(basis, wanted, confirm, tolerance * basis.scale, limit)
            # Other vectors of a cluster may have come in, not converged, and no better: the pairs before stand.
            if at_rest and not (look.values - found.values).abs().max() > tolerance * basis.scale:
                return _result(basis, found, vectors, wanted, tolerance, confirmed=True)
            if basis.is_full:
                continue
        if basis.products >= limit:
            return _result(basis, look, basis.vectors(look), wanted, tolerance, confirmed=False)
        direction = look.worst
        if basis.size + 1 > m:
            _make_room(basis, look, wanted, 1)
        basis.expand(direction)
        for _ in range(min(_STRIDE - 1, m - basis.size)):
            basis.expand(basis.last_image())


def _combination(start: Tensor, generator: torch.Generator) -> Tensor:
    """One vector that holds all of `start`, so that what follows is a Krylov space.

    The vectors themselves would be none: each of their residuals points elsewhere, and following them one by one took
    up to three times the products of a cold start.
    """
    return start @ torch.randn(start.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(start)


def _confirmation(basis: _Basis, wanted: _Wanted, steps: int, allowed: float, limit: int) -> tuple[_Look, bool]:
    """Steps from a fresh random direction, with the pairs found in the basis; and whether they came to rest.

    They go on while the Ritz values next to the wanted ones still approach them fast: in a cluster a fixed number of
    steps would end just short of a value that belongs among the wanted.
    """
    basis.expand(None)
    for _ in range(min(steps - 1, basis.V.shape[1] - basis.size)):
        basis.expand(basis.last_image())
    look = basis.look(wanted)
    while not basis.is_full:
        if basis.products >= limit:
            return look, False
        before, direction = look.neighbours, basis.last_image().clone()
        _make_room(basis, look, wanted, _STRIDE)
        basis.expand(direction)
        for _ in range(min(_STRIDE - 1, basis.V.shape[1] - basis.size)):
            basis.expand(basis.last_image())
        look = basis.look(wanted)
        pairs = zip(before, look.neighbours, strict=False)
        if all(old - new <= max(allowed, _SLOW * new) for old, new in pairs):
            break
    return look, True


def _make_room(basis: _Basis, look: _Look, wanted: _Wanted, steps: int) -> None:
    """Restart with the wanted Ritz vectors and half of the others, so that at least `steps` more fit."""
    m, n = basis.V.shape[1], basis.V.shape[0]
    if basis.size + steps <= m or m == n:
        return
    count = len(look.index)
    extra = min((basis.size - count) // 2, m - steps - count)
    basis.compress(look, wanted.select(look.theta, max(0, extra)))


def _result(
    basis: _Basis, look: _Look, vectors: Tensor, wanted: _Wanted, tolerance: float, *, confirmed: bool
) -> Eigenpairs:
    allowed = tolerance * basis.scale
    small, clean = bool((look.residuals <= allowed).all()), basis.noise <= allowed
    # What a whole basis leaves is rounding, whatever the tolerance.
    if basis.is_full:
        eps = torch.finfo(basis.V.dtype).eps * basis.V.shape[0] * basis.scale * 10
        small, clean = bool((look.residuals <= max(allowed, eps)).all()), basis.noise <= max(allowed, eps)
    if not clean:
        message = (
            f"The products carry noise of {basis.noise:.1e}, above the tolerance of {allowed:.1e}: use float64"
            f"{' or a larger tolerance' if basis.V.dtype == torch.float64 else ''}."
        )
    elif not small:
        message = f"{basis.products} products did not suffice: the largest residual is {look.residuals.max():.1e}."
    elif not confirmed:
        message = f"{basis.products} products did not suffice to confirm that no eigenvalue is missing."
    else:
        message = "All residuals are within the tolerance, and nothing was found beyond the pairs."
    low, high = look.ends
    return Eigenpairs(
        values=look.values,
        vectors=vectors,
        residuals=look.residuals,
        n_smallest=low,
        n_largest=high,
        products=basis.products,
        scale=basis.scale,
        noise=basis.noise,
        converged=small and clean,
        complete=small and clean and confirmed,
        message=message,
    )


def _checked(
    n: int,
    smallest: int,
    largest: int,
    magnitude: int,
    tolerance: float,
    max_products: int | None,
    start: Tensor | None,
    seed: int,
) -> _Wanted:
    integer("n", n, minimum=1)
    for name, count in (("smallest", smallest), ("largest", largest), ("magnitude", magnitude)):
        integer(name, count, minimum=0)
        if count > n:
            raise OptionError(f"{name}={count}: there are only {n} eigenvalues.")
    if (smallest + largest == 0) == (magnitude == 0):
        raise OptionError("Ask for eigenvalues: smallest and largest, 1 or above in all, or magnitude alone.")
    non_negative("tolerance", tolerance)
    integer("seed", seed, minimum=0)
    if max_products is not None:
        integer("max_products", max_products, minimum=1)
    if start is not None and (start.ndim != 2 or start.shape[0] != n or start.shape[1] < 1):
        raise OptionError(f"start must be vectors [{n}, s], s 1 or above; got {list(start.shape)}.")
    return _Wanted(smallest, largest, magnitude)
