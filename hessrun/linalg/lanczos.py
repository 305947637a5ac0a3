"""Extreme eigenpairs of a symmetric operator by thick-restart Lanczos, without ghosts.

Blocks of two vectors (Golub and Underwood, 1977); full reorthogonalisation, twice; restarts that keep the wanted Ritz
vectors (Wu & Simon, 2000). A Krylov space of one vector holds but one vector of a repeated eigenvalue's eigenspace, and
may pass over an eigenvalue whose vector its start lacks. Each of two random vectors stands surety for the other: what
one alone would pass over the other finds, unless two of the values found lie so close that a third may be hidden by
them. There, and where vectors near the wanted ones were taken up, a confirmation follows: the pairs found stay in the
basis, and some steps are taken from a fresh random direction.

Legend: n the order of H; m how many vectors the basis holds; `hessrun.linalg.krylov_basis` has the others.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.krylov_basis import KrylovBasis, Look, Wanted
from hessrun.linalg.memory import require_matrices
from hessrun.options import integer, non_negative

_BASIS = 60
# Vectors that are multiplied together.
_BLOCK = 2
# Vectors between two looks at the Ritz values, and where they are far from done, since a look costs two products.
_STRIDE, _LONG_STRIDE = 4, 8
# The same where the pace of the residuals tells how many are needed: at the most.
_LONGEST_STRIDE = 12
# Residuals of so many tolerances are far.
_FAR = 100.0
# Vectors from a fresh random direction that confirm, at the least: they go on while a neighbour draws near.
_CONFIRM = 12
# Ritz values of a random block that are closer than so many tolerances may hide a third one.
_CROWDED = 30.0
# A neighbour whose distance shrinks by less than this share over a stride will not overtake. Where the distance is
# below what the steps so far tell apart, it is the second one: an eigenvalue beside a dense part may yet come there.
_SLOW, _SLOWEST = 0.1, 0.01
# Residuals that have not halved in so many times the vectors of the basis, and lie in the noise, will not get smaller.
_PATIENCE = 5
# A warm start is taken up as a whole where it misses an invariant space by this many tolerances at most: adding the
# residuals makes them smaller by about as much.
_NEAR = 3.0


@dataclass(frozen=True)
class Eigenpairs:
    """Approximate eigenpairs, in ascending order of their values.

    values [p]; vectors [n, p], orthonormal; residuals [p]: 2-norms of H v - theta v for unit v, from the products made.
    n_smallest, n_largest: how many stand at the lower and at the upper end; they share pairs where all are wanted.
    products: applications of H; scale: the largest |theta| seen, an estimate of |lambda|max from below.
    noise: the asymmetry of the products, ||T - T'||_2 / 2, in units of the eigenvalues.
    converged: residuals and noise are within the tolerance; complete: and nothing more was found.
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
    metric: Callable[[Tensor], Tensor] | None = None,
) -> Eigenpairs:
    """The extreme eigenpairs of a symmetric H, given by V [n, k] -> H V [n, k], k from 1 on.

    smallest, largest: how many at each end, 0 to n each; or magnitude: how many of largest |lambda|, instead of both.
    tolerance: on residuals and on the noise, relative to the largest |theta|, 0 or above.
    max_products: 1 or above, by default 10 n + 1000: where so many have been made it ends at the next look; at least as
    many as the pairs asked for are made.
    start: [n, s], vectors near the wanted ones (those of a matrix nearby), or None. seed: of the random directions.
    metric: v [n] -> P v with P symmetric and positive definite. The pairs are then those of H P, which is self-adjoint
    in the inner product u'P v; lengths, orthonormality and residuals are those of this inner product.
    Memory: three matrices [n, m] (four with a metric), m about 60, or twice the number of pairs where those are more.

    Raises OptionError for options outside their ranges and for a metric that is met to be indefinite, NotFiniteError
    where a product is not finite, TooLargeError where the memory does not suffice.
    """
    wanted = _checked(n, smallest, largest, magnitude, tolerance, max_products, start, seed)
    held = 0 if start is None else 2 * start.shape[1] + _STRIDE
    m = min(n, max(_BASIS, 2 * wanted.count + 16, wanted.count + _CONFIRM + 4, held))
    limit = max(10 * n + 1000 if max_products is None else max_products, min(n, wanted.count))
    empty = _allocated(n, m, dtype, device, arrays=2 if metric is None else 3)
    basis = KrylovBasis(apply, empty, torch.Generator().manual_seed(seed), metric)
    follows_random = _begin(basis, wanted, start, tolerance, limit)
    progress = _Progress()
    while True:
        look = basis.look(wanted)
        small = len(look.index) >= min(n, wanted.count) and look.largest <= tolerance * basis.scale
        rivals = basis.rivals(look, tolerance * basis.scale) if small and magnitude > 0 else []
        small = small and not rivals
        is_crowded = look.is_crowded(_CROWDED * tolerance * basis.scale)
        stands = small and follows_random and basis.products >= _CONFIRM and not is_crowded
        if basis.is_full or stands:
            return _result(basis, look, basis.vectors(look), wanted, tolerance, confirmed=True)
        if small:
            found, vectors = look, basis.vectors(look)
            _make_room(basis, look, wanted, _CONFIRM)
            look, at_rest = _confirmation(basis, wanted, tolerance * basis.scale, limit)
            # Other vectors of a cluster may have come in, not converged, and no better: the pairs before stand.
            if at_rest and not (look.values - found.values).abs().max() > tolerance * basis.scale:
                return _result(basis, found, vectors, wanted, tolerance, confirmed=True)
            if basis.is_full:
                continue
            # Two Krylov spaces have ended now: what is left of the pairs says where to go on.
            follows_random = False
        is_lost = progress.has_stopped(look, basis.products, _PATIENCE * m) and basis.is_noise(look, tolerance)
        if basis.products >= limit or is_lost:
            return _result(basis, look, basis.vectors(look), wanted, tolerance, confirmed=False)
        stride = progress.stride(look, basis.products, tolerance * basis.scale)
        directions = basis.onward if follows_random else rivals or look.worst(_BLOCK)
        _make_room(basis, look, wanted, stride)
        basis.expand(directions)
        basis.steps(stride - len(directions))


@dataclass
class _Progress:
    """How the largest residual goes down from look to look.

    least: of them, halves alone counted, and at how many products it was met; last: that of the look before, likewise.
    """

    least: float = math.inf
    at: int = 0
    last: float = math.inf
    last_at: int = 0

    def has_stopped(self, look: Look, products: int, within: int) -> bool:
        """Whether the residuals have not halved within so many products: noise is all that is left of them."""
        if look.largest < 0.5 * self.least:
            self.least, self.at = look.largest, products
        return products - self.at > within

    def stride(self, look: Look, products: int, allowed: float) -> int:
        """Vectors until the next look: as many as it takes to come to `allowed` at the pace since the last one."""
        before, made = self.last, products - self.last_at
        self.last, self.last_at = look.largest, products
        if not 0 < allowed < look.largest < before < math.inf:
            return _STRIDE if look.largest <= _FAR * allowed else _LONG_STRIDE
        needed = made * math.log(look.largest / allowed) / math.log(before / look.largest)
        return _BLOCK * math.ceil(min(needed, _LONGEST_STRIDE) / _BLOCK)


def _allocated(n: int, m: int, dtype: torch.dtype, device: torch.device | None, *, arrays: int) -> Tensor:
    device = torch.get_default_device() if device is None else device
    what = f"Lanczos with {m} vectors"
    # A restart and the residuals need one array more.
    require_matrices((arrays + 1) * m / n, n, dtype, device, what=what, instead="fewer eigenvalues")
    # By columns: a vector lies in one piece.
    return torch.zeros(m, n, dtype=dtype, device=device).T


def _begin(basis: KrylovBasis, wanted: Wanted, start: Tensor | None, tolerance: float, limit: int) -> bool:
    """The first vectors: random ones, or what `start` is worth; and whether the Krylov space of a random one goes on.

    In place of one of them stands a random combination s of the start vectors. What H s leaves outside their span says
    how far they are from an invariant space. Where it is small, as after a short step of training, all of them are
    taken up, and their images may be all that is needed. Where it is not, what follows s is a Krylov space like that
    of a cold start, with the other eigenvectors damped: with the vectors themselves in the basis each residual would
    point elsewhere, and following them one by one took up to three times the products of a cold start.
    """
    if start is None:
        basis.expand_at_random(min(_BLOCK, limit))
    else:
        start = start.to(basis.V)
        basis.expand([start @ basis.random(start.shape[1])])
        is_far = basis.misses(start) > _NEAR * tolerance
        if is_far:
            basis.expand([*basis.onward, basis.random()])
    if start is None or is_far:
        # Hardly more vectors than wanted pairs need no look.
        basis.steps(min(wanted.count + _LONG_STRIDE, limit) - basis.size)
        return True
    basis.expand_within(start.unbind(1))
    look = basis.look(wanted)
    # One step of block Lanczos, for the pairs that need it.
    basis.expand_within(look.R[:, look.residuals > tolerance * basis.scale].unbind(1))
    return False


def _confirmation(basis: KrylovBasis, wanted: Wanted, allowed: float, limit: int) -> tuple[Look, bool]:
    """Steps from a fresh random direction, with the pairs found in the basis; and whether they came to rest.

    They go on while the Ritz values next to the wanted ones still approach them fast: in a cluster a fixed number of
    steps would end just short of a value that belongs among the wanted. After j steps, an eigenvalue less than about
    (pi / j)^2 of the spectrum's width beyond the others has not come out yet (by Chebyshev polynomials: Saad, 1980).
    """
    basis.expand_at_random(1)
    basis.steps(_CONFIRM - 1)
    look, steps = basis.look(wanted), _CONFIRM
    while not basis.is_full:
        if basis.products >= limit:
            return look, False
        before, directions = look.neighbours, basis.onward
        _make_room(basis, look, wanted, _STRIDE)
        basis.expand(directions)
        basis.steps(_STRIDE - len(directions))
        look, steps = basis.look(wanted), steps + _STRIDE
        told_apart = (look.theta[-1] - look.theta[0]) * (math.pi / steps) ** 2
        pairs = zip(before, look.neighbours, strict=False)
        if all(old - new <= max(allowed, (_SLOW if new >= told_apart else _SLOWEST) * new) for old, new in pairs):
            break
    return look, True


def _make_room(basis: KrylovBasis, look: Look, wanted: Wanted, steps: int) -> None:
    """Restart with the wanted Ritz vectors and half of the others, so that at least `steps` more fit."""
    m, n = basis.V.shape[1], basis.V.shape[0]
    if basis.size + steps <= m or m == n:
        return
    count = len(look.index)
    extra = min((basis.size - count) // 2, m - steps - count)
    basis.compress(look, wanted.select(look.theta, max(0, extra)))


def _result(
    basis: KrylovBasis, look: Look, vectors: Tensor, wanted: Wanted, tolerance: float, *, confirmed: bool
) -> Eigenpairs:
    allowed, noise = tolerance * basis.scale, basis.noise
    small, clean = look.largest <= allowed, noise <= allowed
    # What a whole basis leaves is rounding, whatever the tolerance.
    if basis.is_full:
        eps = torch.finfo(basis.V.dtype).eps * basis.V.shape[0] * basis.scale * 10
        small, clean = look.largest <= max(allowed, eps), noise <= max(allowed, eps)
    if not clean:
        message = (
            f"The products carry noise of {noise:.1e}, above the tolerance of {allowed:.1e}: use float64"
            f"{' or a larger tolerance' if basis.V.dtype == torch.float64 else ''}."
        )
    elif not small:
        message = f"{basis.products} products did not suffice: the largest residual is {look.largest:.1e}."
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
        noise=noise,
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
) -> Wanted:
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
    if start is not None:
        _check_start(start, n)
    return Wanted(smallest, largest, magnitude)


def _check_start(start: object, n: int) -> None:
    if not (isinstance(start, Tensor) and start.is_floating_point()):
        raise OptionError(f"start must be a tensor of floating-point numbers; got {type(start).__name__}.")
    if start.ndim != 2 or start.shape[0] != n or start.shape[1] < 1:
        raise OptionError(f"start must be vectors [{n}, s], s 1 or above; got {list(start.shape)}.")
    if not bool(start.isfinite().all()):
        raise OptionError("start holds numbers that are not finite.")
