"""Which examples make the batch of a step: a pure function of the seed, the step and the batch's size."""

import hashlib

import torch
from torch import Tensor

from hessrun.options import integer


class BatchOrder:
    """Epochs of N examples, each a permutation drawn from (seed, epoch), cut into batches; a ragged last one is kept.

    With B examples a batch there are ceil(N/B) batches an epoch; step t takes batch t mod ceil(N/B) of epoch
    t div ceil(N/B). Nothing is carried from step to step, so that a resumed run sees what it would have seen; the
    permutation of the latest epoch is kept only to save time.
    """

    def __init__(self, n_examples: int, seed: int, device: torch.device) -> None:
        self._n, self._seed, self._device = n_examples, seed, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64, device="cpu")

    def indices(self, step: int, size: int) -> Tensor:
        """The examples of the batch at `step`, [size] int64 (fewer at an epoch's end).

        Raises OptionError for a step below 0 or a size below 1.
        """
        integer("step", step, minimum=0)
        integer("batch_size", size, minimum=1)
        epoch, batch = divmod(step, -(-self._n // size))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._permutation(epoch)
        return self._order[batch * size : (batch + 1) * size]

    def _permutation(self, epoch: int) -> Tensor:
        # Drawn on the host, so that all devices see the same batches.
        generator = torch.Generator().manual_seed(_mixed(self._seed, epoch))
        return torch.randperm(self._n, generator=generator, device="cpu").to(self._device)


def _mixed(seed: int, epoch: int) -> int:
    """A hash: a sum would give epoch 0 of seed 1 the order of epoch 1 of seed 0."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "big") >> 1
