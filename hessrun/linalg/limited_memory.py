"""The limited-memory BFGS matrix: the last m pairs, and H v from their inner products.

The two-loop recursion (Nocedal & Wright, 2006, algorithm 7.4) written on inner products (Chen, Wang and Zhou, 2014):
with R the upper triangle of S'Y in the order of time, E its diagonal and H0 the initial matrix,

    R a = S'v,    q = v - Y a,    R'c = E a - Y'H0 q,    H v = H0 q + S c.

With H0 = gamma I, Y'H0 q = gamma (Y'v - Y'Y a): an iteration needs one product of [S; Y] with y and v, one transfer to
the host whatever m is, two small triangular solves in float64 there, and one combination. With H0 diagonal it needs
S'[y v] and Y'(H0 q) one after the other: two transfers, and as much memory traffic.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dtrsv
from torch import Tensor

from hessrun.linalg.host import Array, arrays
from hessrun.linalg.rows import row_combination, row_products

# The share of the DFP update in the initial matrix's, phi in [0, 1]: of 0 (BFGS), 0.1, 0.2, 0.3, 0.5, 0.7 and 1 it is
# the one with which fits of networks take the fewest evaluations without those of linear models losing much.
_DFP = 0.5


@dataclass
class LimitedMemory:
    """H from at most m pairs (s, y) in a ring of m + 1 slots, the spare one being where the next pair is tried.

    pairs: [m + 1, 2, n], s and y of each slot; head: the spare slot; count: pairs kept, those before `head`.
    sy, yy: [m, m] on the host in float64 in the order of time, oldest first: s_i'y_j for i <= j, and y_i'y_j.
    gamma: H0 is gamma * I; scaling: `every` (gamma from the newest pair, Nocedal & Wright eq. 7.20), `first` (from the
    first pair alone), `none` (1), or `diagonal`: H0^-1 is the diagonal matrix of B0, [n], which learns every pair.
    """

    pairs: Tensor
    sy: Tensor
    yy: Tensor
    scaling: str
    gamma: float = 1.0
    B0: Tensor | None = None
    head: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        # They may come from a file that was read onto a device.
        self.sy, self.yy = self.sy.cpu(), self.yy.cpu()

    @classmethod
    def empty(cls, x: Tensor, *, memory: int, scaling: str = "every") -> "LimitedMemory":
        """No pair yet, H = I, for vectors like x [n]."""
        zeros = torch.zeros(memory, memory, dtype=torch.float64, device="cpu")
        return cls(x.new_zeros(memory + 1, 2, len(x)), zeros, zeros.clone(), scaling)

    def restart(self) -> None:
        """Forget all pairs: H = I."""
        self.head, self.count, self.gamma, self.B0 = 0, 0, 1.0, None

    @property
    def newest(self) -> list[Tensor]:
        """s and y of the newest pair: views, valid until the next update."""
        return list(self.pairs[self.head - 1])

    def dense(self) -> Tensor:
        """H as a matrix [n, n], for tests and diagnosis."""
        unit = torch.eye(self.pairs.shape[2], dtype=self.pairs.dtype, device=self.pairs.device)
        return torch.stack([self.product(column) for column in unit], dim=1)

    def product(self, v: Tensor) -> Tensor:
        """H v, [n]."""
        slots = self.head if self.count == self.head else len(self.pairs)
        return self._combine(v, arrays(*row_products(self._rows(slots), [v]))[0])

    @property
    def spare(self) -> tuple[Tensor, Tensor]:
        """Where s and y of the next pair, each [n], are written before `take`."""
        s, y = self.pairs[self.head].unbind()
        return s, y

    def take(self, s: Tensor, y: Tensor, v: Tensor, *, curvature: float) -> tuple[Tensor, bool]:
        """Take up the pair of `spare`, as `update` does, then -H v, [n]; and whether the pair was taken up.

        The pair's products with the others and those of v are made together, with one transfer to the host.
        """
        (of_v,), taken = self._try(s, y, [v], curvature)
        return self._combine(v, of_v, times=-1.0), taken

    def update(self, s: Tensor, y: Tensor, *, curvature: float) -> bool:
        """Take the pair up if y's > curvature * |s||y|; whether it was taken up."""
        here_s, here_y = self.spare
        here_s.copy_(s)
        here_y.copy_(y)
        return self._try(here_s, here_y, [], curvature)[1]

    def _rows(self, slots: int) -> Tensor:
        """What a vector's products are wanted with: s of each slot, and y after each s unless H0 is diagonal."""
        return self.pairs[:slots, 0] if self.scaling == "diagonal" else self.pairs[:slots].flatten(0, 1)

    def _try(self, s: Tensor, y: Tensor, vectors: list[Tensor], curvature: float) -> tuple[list[Array], bool]:
        """Take up the spare pair; the vectors' products with `_rows` of the slots used so far, that one included."""
        slots = self.head + 1 if self.count == self.head else len(self.pairs)
        Bs = s if self.B0 is None else self.B0 * s
        squares = torch.dot(s, s), torch.dot(y, y), torch.dot(s, Bs)
        of_y, *rest = arrays(*row_products(self._rows(slots), [y, *vectors]), *squares)
        ss, yy, sBs = (float(square.item()) for square in rest[-3:])
        step = 1 if self.scaling == "diagonal" else 2
        ys = float(of_y[step * self.head])
        # Where y'y underflows to 0 there is no scaling to be had from the pair; where 1 / y's overflows, no weight.
        has_scale = 0 < yy < math.inf and torch.finfo(y.dtype).max * ys >= 1
        taken = has_scale and ys > curvature * math.sqrt(ss) * math.sqrt(yy)
        if taken:
            if self.scaling == "diagonal":
                self.B0 = _learnt(self.B0, y, Bs, ys, yy, sBs)
            self._take(of_y[0::step], of_y[1::2], ys, yy)
        else:
            self.pairs[self.head] = 0
        return rest[:-3], taken

    def _take(self, of_s: Array, of_y: Array, ys: float, yy: float) -> None:
        """Keep the pair at `head`, from the products of its y with s and y of each slot."""
        if self.scaling == "every" or (self.scaling == "first" and self.count == 0):
            self.gamma = ys / yy
        SY, YY, k = self.sy.numpy(), self.yy.numpy(), self.count
        if k == len(SY):
            SY[:-1, :-1] = SY[1:, 1:]
            YY[:-1, :-1] = YY[1:, 1:]
            k -= 1
        self.head, self.count = (self.head + 1) % len(self.pairs), k + 1
        order = self._in_time
        SY[: k + 1, k] = of_s[order]
        if self.scaling != "diagonal":
            YY[: k + 1, k] = YY[k, : k + 1] = of_y[order]

    @property
    def _in_time(self) -> np.ndarray[Any, np.dtype[np.int_]]:
        """The slots of the pairs, oldest first; those that the ring has wrapped around are counted from its end."""
        return np.arange(self.head - self.count, self.head)

    def _combine(self, v: Tensor, of_v: Array, times: float = 1.0) -> Tensor:
        """times * H v from the products of v with `_rows`."""
        if self.count == 0:
            return times * self.gamma * v
        # R' is what BLAS, which counts by columns, sees in R.
        lower = self.sy.numpy()[: self.count, : self.count].T
        if self.B0 is None:
            return self._combine_scaled(v, times * of_v, lower, times)
        return self._combine_diagonal(v, times * of_v, lower, times, self.B0)

    def _combine_scaled(self, v: Tensor, of_v: Array, lower: Array, times: float) -> Tensor:
        """With H0 = gamma I."""
        k, order, weights = self.count, self._in_time, np.zeros(len(of_v))
        a = dtrsv(lower, of_v[0::2][order], lower=1, trans=1)
        of_q = of_v[1::2][order] - self.yy.numpy()[:k, :k] @ a
        weights[0::2][order] = dtrsv(lower, lower.diagonal() * a - self.gamma * of_q, lower=1)
        weights[1::2][order] = -self.gamma * a
        return row_combination(v, self._rows(len(of_v) // 2), _like(v, weights), of_v=times * self.gamma)

    def _combine_diagonal(self, v: Tensor, of_v: Array, lower: Array, times: float, B0: Tensor) -> Tensor:
        """With H0 diagonal."""
        order, weights = self._in_time, np.zeros(len(of_v))
        S, Y = self.pairs[: len(of_v)].unbind(1)
        a = dtrsv(lower, of_v[order], lower=1, trans=1)
        weights[order] = -a
        r = row_combination(v, Y, _like(v, weights), of_v=times).div_(B0)
        (of_r,) = arrays(*row_products(Y, [r]))
        weights[order] = dtrsv(lower, lower.diagonal() * a - of_r[order], lower=1)
        return row_combination(r, S, _like(v, weights))


def _like(v: Tensor, weights: Array) -> Tensor:
    return torch.from_numpy(weights).to(v)


def _learnt(B0: Tensor | None, y: Tensor, Bs: Tensor, ys: float, yy: float, sBs: float) -> Tensor:
    """The diagonal of H0^-1 after a pair, from B s before it: that of an update of B, scaled so that y'H0 y = y's.

    Half of the BFGS and half of the DFP update, Broyden's class at phi = 1/2 (Gilbert and Lemaréchal, 1989, section 4,
    and Nocedal & Wright, 2006, eq. 6.32, where B is a diagonal matrix):

    B+ = B + y y' / y's - (1 - phi) B s s'B / s'B s - phi (B s y' + y s'B) / y's + phi s'B s y y' / (y's)^2.

    It is positive wherever B is; before the first pair B is y'y / y's I.
    """
    if B0 is None:
        start = yy / ys
        B0, Bs, sBs = torch.full_like(y, start), start * Bs, start * sBs
    if not (0 < sBs < math.inf and torch.finfo(y.dtype).max * min(sBs, ys * (ys / (ys + sBs))) >= 1):
        return B0
    B = torch.addcmul(B0, y, torch.mul(y, (1 + _DFP * sBs / ys) / ys).add_(Bs, alpha=-2 * _DFP / ys))
    B.addcmul_(Bs, Bs, value=(_DFP - 1) / sBs)
    # Rounding must not take it to 0, or below.
    torch.maximum(B, torch.finfo(y.dtype).eps * B0, out=B)
    return B.mul_(torch.dot(y, y / B) / ys)
