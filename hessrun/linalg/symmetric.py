"""The product of a dense symmetric matrix with a vector, which reads one triangle of the matrix where it can."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

# On the host a product is bound by what it reads: BLAS's symv, which reads half, takes two thirds of the time at this
# n, and half from 2,400 on.
_SMALLEST = 1000
_DTYPES = (torch.float32, torch.float64)


def symmetric_product(M: Tensor, v: Tensor) -> Tensor:
    """M v, [n], for M [n, n] symmetric to the last bit and v [n] of its dtype."""
    if M.device.type != "cpu" or len(M) < _SMALLEST or M.dtype not in _DTYPES or not M.is_contiguous():
        return M @ v
    symv, libraries = _blas()
    # One thread reads as fast as memory gives; more of them would wait for a turn beside torch's own, which spin.
    with libraries.limit(limits=1):
        # Seen by columns a row-major matrix is its transpose, which is the same one.
        product = symv[M.dtype](1.0, M.detach().numpy().T, v.detach().contiguous().numpy(), lower=1)
    return torch.from_numpy(product)


@cache
def _blas() -> tuple[dict[torch.dtype, Any], Any]:
    """symv by dtype, and the libraries that scipy's BLAS may be; imported where a matrix needs them, for 0.1 s."""
    from scipy.linalg.blas import dsymv, ssymv
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(internal_api=["openblas", "blis", "flexiblas"])
    return {torch.float64: dsymv, torch.float32: ssymv}, libraries
