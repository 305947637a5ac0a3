"""Cholesky factors of shifted symmetric matrices: the test of positive definiteness that costs a third of n^3."""

import torch
from torch import Tensor


def cholesky(H: Tensor, shift: float = 0.0) -> tuple[Tensor, bool]:
    """L with L L' = H + shift I, [n, n], and whether there is one: the matrix is positive definite.

    H: [n, n], symmetric; it is not changed.
    """
    if shift == 0:
        factor, info = torch.linalg.cholesky_ex(H)
    else:
        shifted = H.clone()
        shifted.diagonal().add_(shift)
        factor, info = torch.linalg.cholesky_ex(shifted)
    return factor, int(info) == 0
