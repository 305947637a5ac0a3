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

from hessrun.linalg.rows import row_combination, row_products

# The share of the DFP update in the initial matrix's, phi in [0, 1]: of 0 (BFGS), 0.1, 0.2, 0.3, 0.5, 0.7 and 1 it is
# the one with which fits of networks take the fewest evaluations without those of linear models losing much.
_DFP = 0.5

Array = np.ndarray[Any, np.dtype[np.float64]]


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
        if self.count == 0:
            return self.gamma * v
        slots = self.head if self.count == self.head else len(self.pairs)
        if self.B0 is not None:
            (of_s,) = row_products(self.pairs[:slots, 0], [v])
            return self._combine_diagonal(v, _on_host(of_s), self.B0)
        dots = _on_host(row_products(self.pairs[:slots].view(2 * slots, -1), [v])[0])
        return self._combine(v, dots[0::2], dots[1::2])

    def update_and_product(self, s: Tensor, y: Tensor, v: Tensor, *, curvature: float) -> tuple[Tensor, bool]:
        """Take the pair up if y's > curvature * |s||y|, then H v, [n]; and whether it was taken up."""
        self._place(s, y)
        return self.take_and_product(v, curvature=curvature)

    @property
    def spare(self) -> tuple[Tensor, Tensor]:
        """Where s and y of the next pair, each [n], are written before `take_and_product`."""
        s, y = self.pairs[self.head].unbind()
        return s, y

    def take_and_product(self, v: Tensor, *, curvature: float) -> tuple[Tensor, bool]:
        """`update_and_product` with the pair that stands in `spare` already.

        The pair's products with the others and those of v are made together, with one transfer to the host.
        """
        (of_v,), taken = self._try([v], curvature)
        if self.count == 0:
            return self.gamma * v, taken
        if self.B0 is not None:
            return self._combine_diagonal(v, of_v, self.B0), taken
        return self._combine(v, of_v[0::2], of_v[1::2]), taken

    def update(self, s: Tensor, y: Tensor, *, curvature: float) -> bool:
        """Take the pair up if y's > curvature * |s||y|; whether it was taken up."""
        self._place(s, y)
        return self._try([], curvature)[1]

    def _place(self, s: Tensor, y: Tensor) -> None:
        self.pairs[self.head, 0] = s
        self.pairs[self.head, 1] = y

    def _try(self, vectors: list[Tensor], curvature: float) -> tuple[Array, bool]:
        """Take up the spare pair; the vectors' products with s (and y, unless H0 is diagonal) of each slot."""
        new, is_diagonal = self.head, self.scaling == "diagonal"
        s, y = self.spare
        slots = new + 1 if self.count == new else len(self.pairs)
        rows = self.pairs[:slots, 0] if is_diagonal else self.pairs[:slots].view(2 * slots, -1)
        parts = row_products(rows, [y, *vectors])
        Bs = s if self.B0 is None else self.B0 * s
        parts.append(torch.stack((torch.dot(s, s), torch.dot(y, y), torch.dot(s, Bs))))
        host = _on_host(torch.cat(parts))
        ss, yy, sBs = host[-3:].tolist()
        products = host[:-3].reshape(1 + len(vectors), -1)
        step = 1 if is_diagonal else 2
        ys = float(products[0, step * new])
        # Where y'y underflows to 0 there is no scaling to be had from the pair; where 1 / y's overflows, no weight.
        has_scale = 0 < yy < math.inf and torch.finfo(y.dtype).max * ys >= 1
        taken = has_scale and ys > curvature * math.sqrt(ss) * math.sqrt(yy)
        if taken:
            if is_diagonal:
                self.B0 = _learnt(self.B0, y, Bs, ys, yy, sBs)
            self._take(products[0, 0::step], products[0, 1::2], ys, yy)
        else:
            self.pairs[new] = 0
        return products[1:], taken

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
        SY[: k + 1, k] = self._in_time(of_s)
        if self.scaling != "diagonal":
            YY[: k + 1, k] = YY[k, : k + 1] = self._in_time(of_y)

    def _in_time(self, by_slot: Array) -> Array:
        """[count], oldest first, from numbers by slot."""
        if self.count <= self.head:
            return by_slot[self.head - self.count : self.head]
        return np.concatenate([by_slot[self.head - self.count :], by_slot[: self.head]])

    def _by_slot(self, in_time: Array, slots: int) -> Array:
        """The converse of `_in_time`; 0 for the spare slot."""
        found = np.zeros(slots)
        wrapped = max(0, self.count - self.head)
        found[self.head - (self.count - wrapped) : self.head] = in_time[wrapped:]
        if wrapped:
            found[-wrapped:] = in_time[:wrapped]
        return found

    def _combine(self, v: Tensor, of_s: Array, of_y: Array) -> Tensor:
        """H v with H0 = gamma I from the products of v with s and y of each slot."""
        k, slots = self.count, len(of_s)
        R, YY = self.sy.numpy()[:k, :k], self.yy.numpy()[:k, :k]
        a = dtrsv(R, self._in_time(of_s))
        c = dtrsv(R, R.diagonal() * a - self.gamma * (self._in_time(of_y) - YY @ a), trans=1)
        weights = np.empty(2 * slots)
        weights[0::2], weights[1::2] = self._by_slot(c, slots), self._by_slot(-self.gamma * a, slots)
        rows = self.pairs[:slots].view(2 * slots, -1)
        return row_combination(v, rows, torch.from_numpy(weights).to(v), of_v=self.gamma)

    def _combine_diagonal(self, v: Tensor, of_s: Array, B0: Tensor) -> Tensor:
        """H v with H0 diagonal from the products of v with s of each slot."""
        k, slots = self.count, len(of_s)
        R, S, Y = self.sy.numpy()[:k, :k], self.pairs[:slots, 0], self.pairs[:slots, 1]
        a = dtrsv(R, self._in_time(of_s))
        r = row_combination(v, Y, torch.from_numpy(self._by_slot(-a, slots)).to(v)).div_(B0)
        (of_y,) = row_products(Y, [r])
        c = dtrsv(R, R.diagonal() * a - self._in_time(_on_host(of_y)), trans=1)
        return row_combination(r, S, torch.from_numpy(self._by_slot(c, slots)).to(v))


def _on_host(numbers: Tensor) -> Array:
    """In float64; waits for the device."""
    array: Array = numbers.double().cpu().numpy()
    return array


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
