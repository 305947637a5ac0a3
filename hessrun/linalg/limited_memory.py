"""The limited-memory BFGS matrix: the last m pairs, and H v from their inner products.

The two-loop recursion (Nocedal & Wright, 2006, algorithm 7.4) written on inner products (Chen, Wang and Zhou, 2014):
with R the upper triangle of S'Y in the order of time, D its diagonal and gamma the initial scaling,

    R a = S'v,    R'c = D a - gamma (Y'v - Y'Y a),    H v = gamma (v - Y a) + S c.

An iteration needs one product [S; Y][v y], one transfer to the host whatever m is, two small triangular solves in
float64 there, and one combination.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class LimitedMemory:
    """H from at most m pairs (s, y) in a ring of m + 1 slots, the spare one being where the next pair is tried.

    pairs: [m + 1, 2, n], s and y of each slot; order: the slots in use, oldest first.
    sy, yy: [m + 1, m + 1] on the host in float64, s_i'y_j (where j is no older than i) and y_i'y_j by slot.
    gamma: the initial matrix is gamma * I; scaling: `every` (gamma from the newest pair, Nocedal & Wright eq. 7.20),
    `first` (from the first pair alone) or `none` (1).
    """

    pairs: Tensor
    sy: Tensor
    yy: Tensor
    scaling: str
    gamma: float = 1.0
    order: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls, x: Tensor, *, memory: int, scaling: str = "every") -> "LimitedMemory":
        """No pair yet, H = I, for vectors like x [n]."""
        slots = memory + 1
        zeros = torch.zeros(slots, slots, dtype=torch.float64)
        return cls(x.new_zeros(slots, 2, len(x)), zeros, zeros.clone(), scaling)

    def restart(self) -> None:
        """Forget all pairs: H = I."""
        self.order, self.gamma = [], 1.0

    @property
    def newest(self) -> list[Tensor]:
        """s and y of the newest pair: views, valid until the next update."""
        return list(self.pairs[self.order[-1]])

    def product(self, v: Tensor) -> Tensor:
        """H v, [n]."""
        if not self.order:
            return self.gamma * v
        used = max(self.order) + 1
        dots = (self.pairs[:used].view(2 * used, -1) @ v).double().cpu().view(used, 2)
        return self._combine(v, dots)

    def dense(self) -> Tensor:
        """H as a matrix [n, n], for tests and diagnosis."""
        unit = torch.eye(self.pairs.shape[2], dtype=self.pairs.dtype, device=self.pairs.device)
        return torch.stack([self.product(column) for column in unit], dim=1)

    def update_and_product(self, s: Tensor, y: Tensor, v: Tensor, *, curvature: float) -> tuple[Tensor, bool]:
        """Take the pair up if y's > curvature * |s||y|, then H v, [n]; and whether it was taken up.

        One product with both y and v, one transfer to the host.
        """
        slots = len(self.pairs)
        spare = next(slot for slot in range(slots) if slot not in self.order)
        self.pairs[spare, 0] = s
        self.pairs[spare, 1] = y
        used = max([spare, *self.order]) + 1
        rows = self.pairs[:used].view(2 * used, -1)
        products = rows @ torch.stack([y, v], dim=1)
        host = torch.cat([products.reshape(-1), torch.dot(s, s)[None]]).double().cpu()
        dots, ss = host[:-1].view(used, 2, 2), float(host[-1])
        ys, yy = float(dots[spare, 0, 0]), float(dots[spare, 1, 0])
        # Where y'y underflows to 0 there is no scaling to be had from the pair.
        taken = 0 < yy < math.inf and ys > curvature * ss**0.5 * yy**0.5
        if taken:
            self._take(spare, dots[:, :, 0], ys, yy)
        if not self.order:
            return self.gamma * v, taken
        return self._combine(v, dots[:, :, 1]), taken

    def _take(self, slot: int, dots: Tensor, ys: float, yy: float) -> None:
        used = len(dots)
        self.sy[:used, slot] = dots[:, 0]
        self.yy[:used, slot] = self.yy[slot, :used] = dots[:, 1]
        if self.scaling == "every" or (self.scaling == "first" and not self.order):
            self.gamma = ys / yy
        self.order = [*self.order, slot][-(len(self.pairs) - 1) :]

    def _combine(self, v: Tensor, dots: Tensor) -> Tensor:
        """H v from dots [slots, 2], the inner products of v with s and y of each slot."""
        order = torch.tensor(self.order)
        R = self.sy[order][:, order].triu()
        sv, yv = dots[order, 0], dots[order, 1]
        a = torch.linalg.solve_triangular(R, sv[:, None], upper=True)[:, 0]
        right = R.diagonal() * a - self.gamma * (yv - self.yy[order][:, order] @ a)
        c = torch.linalg.solve_triangular(R.T, right[:, None], upper=False)[:, 0]
        weights = torch.zeros(len(dots), 2, dtype=torch.float64)
        weights[order, 0], weights[order, 1] = c, -self.gamma * a
        rows = self.pairs[: len(dots)].view(2 * len(dots), -1)
        return torch.addmv(v, rows.T, weights.view(-1).to(dtype=v.dtype, device=v.device), beta=self.gamma)
