"""Norms that neither overflow nor vanish where the squares of the components leave the range of the dtype."""

import math

import torch
from torch import Tensor


def norm(v: Tensor) -> float:
    """|v|, the 2-norm, by way of the largest component; inf or nan where that is."""
    largest = float(torch.linalg.vector_norm(v, ord=math.inf))
    if not 0 < largest < math.inf:
        return largest
    return largest * float(torch.linalg.vector_norm(v / largest))


def eigenvalue_bound(H: Tensor) -> float:
    """An upper bound of |lambda|max of H [n, n]: the lesser of its Frobenius norm and the largest row sum of |H|."""
    largest = float(torch.linalg.vector_norm(H, ord=math.inf))
    if not 0 < largest < math.inf:
        return largest
    relative = H / largest
    rows = torch.linalg.vector_norm(relative, ord=1, dim=1).amax()
    return largest * float(torch.minimum(rows, torch.linalg.vector_norm(relative)))
