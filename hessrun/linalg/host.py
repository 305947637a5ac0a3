"""Numbers from where they were computed to the host: by one transfer from a device, by none from the host's memory.

On the host each reading takes a microsecond and stacking them first takes ten, which an iteration of L-BFGS on a small
network would notice; a device waits for every reading, however many numbers it brings.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]


def numbers(*scalars: Tensor) -> list[float]:
    """Scalars on one device as numbers."""
    if _is_on_host(scalars[0]):
        return [scalar.item() for scalar in scalars]
    found: list[float] = torch.stack(scalars).tolist()
    return found


def arrays(*tensors: Tensor) -> list[Array]:
    """Scalars and vectors on one device as arrays in float64; on the host they may share the tensors' memory."""
    if _is_on_host(tensors[0]):
        return [tensor.double().numpy() for tensor in tensors]
    whole = torch.cat([tensor.reshape(-1) for tensor in tensors]).double().cpu().numpy()
    return np.split(whole, np.cumsum([tensor.numel() for tensor in tensors])[:-1])


def _is_on_host(tensor: Tensor) -> bool:
    return tensor.is_cpu
