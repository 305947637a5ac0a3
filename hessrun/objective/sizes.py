"""What a device computes at once: rules of shapes and of the kind of device, calibrated by scripts/bench_curvature."""

from dataclasses import dataclass

import torch

_SMALLEST_CHUNK = 16

# Two products of a chain take less than twice one, whatever its size: they read weights and activations once.
PAIR = 2


@dataclass(frozen=True)
class Sizes:
    """chunk_bytes, chunk_examples: a chunk keeps about so much memory for its backward pass, and has at most so many
    examples.

    batched_numbers: in a network whose forward pass over all examples keeps no more numbers than this, a product costs
    the calls more than the arithmetic, and as many are made together as keep `batch_bytes`, at most `largest_batch`.
    """

    chunk_bytes: int
    chunk_examples: int
    batched_numbers: int
    batch_bytes: int
    largest_batch: int

    def chunk(self, saved: int, itemsize: int) -> int:
        """Examples of a chunk where the forward pass over one keeps so many numbers of so many bytes."""
        return max(_SMALLEST_CHUNK, min(self.chunk_examples, self.chunk_bytes // (itemsize * max(1, saved))))

    def batch(self, saved: int, itemsize: int) -> int:
        """Products made together where the forward pass over all examples keeps so many numbers of so many bytes."""
        if saved > self.batched_numbers:
            return 1
        return max(1, min(self.largest_batch, self.batch_bytes // (itemsize * max(1, saved))))


# 16 MiB stay near the caches of a processor: larger chunks gain nothing there, and convolutions in float64 lose a
# quarter. Batches of some times 10 MiB take twice as long in every other process: their intermediate results are pages
# that the system hands out anew.
_ON_HOST = Sizes(
    chunk_bytes=16 * 2**20, chunk_examples=4096, batched_numbers=2**18, batch_bytes=10 * 2**20, largest_batch=16
)
# A graphics processor is idle between small kernels: few large chunks, and more columns at a time.
_ON_CUDA = Sizes(chunk_bytes=2**28, chunk_examples=2**20, batched_numbers=2**24, batch_bytes=2**31, largest_batch=64)


def sizes_on(device: torch.device) -> Sizes:
    """Those of the device's kind."""
    return _ON_CUDA if device.type == "cuda" else _ON_HOST
