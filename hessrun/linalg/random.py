"""Random vectors of the library: drawn on the host, whatever the default device, so that all devices see the same.

The caller's generator, seeded, makes them; torch's global one is never touched.
"""

import torch
from torch import Tensor


def normal(*shape: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """Independent standard normal numbers, [*shape], on the host."""
    return torch.randn(*shape, generator=generator, dtype=dtype, device="cpu")


def signs(n: int, generator: torch.Generator) -> Tensor:
    """Independent signs, each 1 or -1 with equal chance, [n] of integers on the host."""
    return 2 * torch.randint(2, (n,), generator=generator, device="cpu") - 1
