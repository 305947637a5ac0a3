"""Products with few long rows: what memories of vectors and Krylov bases spend their time on.

A product of a matrix [r, n] with a vector is work for one thread in the BLAS that torch brings, however long the rows
are. Cut into stretches of columns, the same is a batch of small products, which all threads share; and a stretch is
read from memory once, whatever the number of vectors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Rows of this many bytes in all are cut; measured with 11 to 51 rows of 10^4 to 10^6 numbers, float32 and float64.
_LONG = 8 * 2**20
# Columns of a stretch.
_STRETCH = 4096


def row_products(rows: Tensor, vectors: Sequence[Tensor]) -> list[Tensor]:
    """rows [r, n], each in one piece, times each vector [n]: a result [r] for each."""
    if not _are_long(rows):
        return [rows @ v for v in vectors]
    cut, rest = _cut(rows)
    end = rows.shape[1] - rest.shape[1]
    columns = torch.stack([v[:end].view(-1, _STRETCH) for v in vectors], dim=1)
    sums = torch.bmm(columns, cut.mT).sum(0)
    return [total + rest @ v[end:] for total, v in zip(sums, vectors, strict=True)]


def row_combination(v: Tensor, rows: Tensor, weights: Tensor, *, of_v: float = 1.0) -> Tensor:
    """of_v * v + rows' weights, [n], from v [n], rows [r, n], each in one piece, and weights [r]."""
    if not _are_long(rows):
        return torch.addmv(v, rows.t(), weights, beta=of_v)
    cut, rest = _cut(rows)
    end = rows.shape[1] - rest.shape[1]
    made, each = torch.empty_like(v), weights.expand(len(cut), 1, -1)
    torch.baddbmm(v[:end].view(-1, 1, _STRETCH), each, cut, beta=of_v, out=made[:end].view(-1, 1, _STRETCH))
    torch.addmv(v[end:], rest.T, weights, beta=of_v, out=made[end:])
    return made


def _are_long(rows: Tensor) -> bool:
    return not rows.is_cuda and rows.shape[1] >= _STRETCH and rows.numel() * rows.itemsize >= _LONG


def _cut(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The whole stretches, [stretches, r, columns], and the columns that are left, [r, fewer]."""
    end = rows.shape[1] - rows.shape[1] % _STRETCH
    return torch.unflatten(rows[:, :end], 1, (-1, _STRETCH)).transpose(0, 1), rows[:, end:]
