"""Sums over examples of small Kronecker products, sum_b D_b (x) u_b v_b', as matrix products.

The blocks of a network's Hessian have this form. Examples stand last in every array, [features, B], so that a row-wise
Khatri-Rao product is made of contiguous rows and the sum over examples is a GEMM.

Legend: D [m, m', B], one matrix per example; u [q, B] and v [q', B], vectors; a block is [m, q, m', q'] with
(D (x) u v')[o, i, p, j] = D[o, p] u[i] v[j].
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Numbers that one Khatri-Rao factor may hold, 8 MiB in float64: about the caches of a core.
_NUMBERS_PER_FACTOR = 2**20
_FEWEST_EXAMPLES = 64
# Below this many rows of D, writing the products u v' costs more than the flops it saves: one GEMM per row instead.
_FEW_ROWS = 12


def rowwise_products(a: Tensor, b: Tensor) -> Tensor:
    """The Khatri-Rao product of a [p, B] and b [q, B]: the products of a row of each, [p*q, B]."""
    return (a[:, None] * b).reshape(-1, a.shape[-1])


def _slices(examples: int, rows: int) -> Iterator[slice]:
    size = max(_FEWEST_EXAMPLES, _NUMBERS_PER_FACTOR // max(1, rows))
    for start in range(0, examples, size):
        yield slice(start, start + size)


class SymmetricSum:
    """sum_b D_b (x) u_b u_b' for symmetric D_b [m, m]: both symmetries are used, a quarter of the products is formed.

    Only the part o <= p of D is read, and the sum is symmetric to the last bit.
    """

    def __init__(self, m: int, q: int, dtype: torch.dtype, device: torch.device) -> None:
        self._pairs_d, self._place_d = _pairs(m, device)
        self._pairs_u, self._place_u = _pairs(q, device)
        self._sum = torch.zeros(self._pairs_d.shape[1], self._pairs_u.shape[1], dtype=dtype, device=device)

    def add(self, d: Tensor, u: Tensor) -> None:
        """Add the examples of d [m, m, B] and u [q, B]."""
        o, p = self._pairs_d
        i, j = self._pairs_u
        if len(o) < _FEW_ROWS:
            for row, weights in enumerate(d[o, p]):
                self._sum[row] += ((weights * u) @ u.T)[i, j]
            return
        for part in _slices(u.shape[1], len(i)):
            some = u[:, part]
            self._sum.addmm_(d[..., part][o, p], (some[i] * some[j]).T)

    def rows(self, o: int) -> Tensor:
        """The rows of the block that belong to one o, [q, m, q] over (i, p, j)."""
        m, q = len(self._place_d), len(self._place_u)
        return self._sum[self._place_d[o]][:, self._place_u.reshape(-1)].view(m, q, q).transpose(0, 1)


def _pairs(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pairs a <= b below `size`, [2, pairs], and where each pair, in either order, stands, [size, size]."""
    pairs = torch.triu_indices(size, size, device=device)
    a, b = pairs
    place = torch.empty(size, size, dtype=torch.long, device=device)
    place[a, b] = place[b, a] = torch.arange(pairs.shape[1], device=device)
    return pairs, place


class CrossSum:
    """sum_b (D_b (x) u_b v_b') + sum_b (g_b (x) J_b v_b') for D_b [m, m'], g_b [m], J_b [q, m'] = du/de."""

    def __init__(self, m: int, q: int, m_other: int, q_other: int, dtype: torch.dtype, device: torch.device) -> None:
        self._shape = m, q, m_other, q_other
        self._sum = torch.zeros(m, m_other, q, q_other, dtype=dtype, device=device)

    def add(self, d: Tensor, u: Tensor, v: Tensor) -> None:
        """Add the first sum over the examples of d [m, m', B], u [q, B] and v [q', B]."""
        m, q, m_other, q_other = self._shape
        if m * m_other < _FEW_ROWS:
            for o in range(m):
                for p in range(m_other):
                    self._sum[o, p].addmm_(d[o, p] * u, v.T)
            return
        flat = self._sum.view(m * m_other, q * q_other)
        for part in _slices(u.shape[1], q * q_other):
            flat.addmm_(d[..., part].reshape(m * m_other, -1), rowwise_products(u[:, part], v[:, part]).T)

    def add_jacobian(self, g: Tensor, jacobian: Tensor, v: Tensor) -> None:
        """Add the second sum over the examples of g [m, B], jacobian [q, m', B] and v [q', B].

        Entries of the Jacobian that vanish for every example are left out: behind an elementwise activation that is
        all but its diagonal.
        """
        m, q, m_other, q_other = self._shape
        i, p = (jacobian != 0).any(dim=2).nonzero(as_tuple=True)
        entries = jacobian[i, p]
        total = entries.new_zeros(m * q_other, len(i))
        for part in _slices(v.shape[1], m * q_other):
            total.addmm_(rowwise_products(g[:, part], v[:, part]), entries[:, part].T)
        self._sum.view(m, m_other * q, q_other).index_add_(1, p * q + i, total.view(m, q_other, -1).transpose(1, 2))

    def rows(self, o: int) -> Tensor:
        """The rows of the block that belong to one o, [q, m', q'] over (i, p, j)."""
        return self._sum[o].transpose(0, 1)
