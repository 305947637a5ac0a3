"""The product of a dense symmetric matrix with a vector, which reads one triangle of the matrix where it can."""

import torch
from scipy.linalg.blas import dsymv, ssymv
from torch import Tensor

# On the host a product is bound by what it reads: BLAS's symv, which reads half, takes a half to a third of the time
# from about this n on.
_SMALLEST = 256
_SYMV = {torch.float64: dsymv, torch.float32: ssymv}


def symmetric_product(M: Tensor, v: Tensor) -> Tensor:
    """M v, [n], for M [n, n] symmetric to the last bit and v [n] of its dtype."""
    if M.device.type != "cpu" or len(M) < _SMALLEST or M.dtype not in _SYMV or not M.is_contiguous():
        return M @ v
    # Seen by columns a row-major matrix is its transpose, which is the same one.
    product = _SYMV[M.dtype](1.0, M.detach().numpy().T, v.detach().contiguous().numpy(), lower=1)
    return torch.from_numpy(product)
