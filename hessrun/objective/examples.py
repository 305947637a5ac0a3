"""The examples of an empirical risk, in chunks: held as tensors, or read while the chunk before is computed on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hessrun.errors import OptionError

# Where torch's own tensors begin, in bytes.
_ALIGNMENT = 64
# Examples are converted about so many numbers at a time (1 MiB in float64), but no fewer examples than this.
_NUMBERS, _FEWEST = 2**17, 64

Chunk = tuple[Tensor, Tensor]
Reader = Callable[[npt.NDArray[np.int64]], Chunk]


class Examples(ABC):
    """N pairs of an input and a target, in a fixed order; whichever kind holds them, f is the same to the bit."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def chunk(self, start: int, stop: int) -> Chunk:
        """Inputs [B, ...] and targets [B, ...] from `start` up to `stop`, or to the end; on the device."""

    @abstractmethod
    def chunks(self, size: int) -> Iterator[Chunk]:
        """All examples in their order, `size` at a time; the last chunk may be smaller."""

    @abstractmethod
    def take(self, indices: Tensor) -> "Examples":
        """Some of the examples, in the order of `indices` [B] int64."""

    @abstractmethod
    def in_dtype(self, dtype: torch.dtype) -> "Examples":
        """The same numbers in another floating-point dtype; whole numbers stay as they are."""


class InMemory(Examples):
    """inputs, targets: [N, ...] tensors on one device. Raises OptionError where they are not equally many, or none."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        _refuse_unequal(inputs, targets)
        self._inputs, self._targets = inputs, targets

    def __len__(self) -> int:
        return len(self._inputs)

    def chunk(self, start: int, stop: int) -> Chunk:
        return self._inputs[start:stop], self._targets[start:stop]

    def chunks(self, size: int) -> Iterator[Chunk]:
        if len(self) <= size:
            yield self._inputs, self._targets
            return
        yield from zip(torch.split(self._inputs, size), torch.split(self._targets, size), strict=True)

    def take(self, indices: Tensor) -> "InMemory":
        return InMemory(self._inputs[indices], self._targets[indices])

    def in_dtype(self, dtype: torch.dtype) -> "InMemory":
        return InMemory(_cast(self._inputs, dtype), _cast(self._targets, dtype))


class Streamed(Examples):
    """Examples that are read when they are asked for, so that two chunks of them take memory and not all.

    read: (rows [B] int64) -> (inputs [B, ...], targets [B, ...]), tensors on the host, the same for the same row every
        time. It is also called from another thread, one chunk ahead.
    rows: [N] int64, one or more: what `read` is asked for, in the order of the examples.
    device: where chunks are moved; for a CUDA device by way of pinned memory, beside the computation.

    Examples that make one chunk are kept once they were read: a minibatch is read once, not at each evaluation.
    """

    def __init__(self, read: Reader, rows: npt.NDArray[np.int64], *, device: torch.device | str = "cpu") -> None:
        _refuse_unequal(rows, rows)
        self._read, self._rows = read, rows
        self._device = torch.device(device)
        self._kept: Chunk | None = None

    @classmethod
    def of(cls, inputs: Any, targets: Any, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> Self:
        """From arrays that are indexed by arrays of rows, such as NumPy's memory maps.

        dtype: of the inputs, and of targets that are no whole numbers; these become int64.
        Raises OptionError where they are not equally many, or none.

            >>> inputs, targets = np.arange(6.0).reshape(3, 2), np.arange(3)
            >>> [len(part) for part, _ in Streamed.of(inputs, targets, dtype=torch.float64).chunks(2)]
            [2, 1]
        """
        _refuse_unequal(inputs, targets)

        def read(rows: npt.NDArray[np.int64]) -> Chunk:
            labels = torch.as_tensor(np.ascontiguousarray(targets[rows]))
            kind = dtype if labels.is_floating_point() else torch.int64
            return torch.as_tensor(np.ascontiguousarray(inputs[rows])).to(dtype), labels.to(kind)

        return cls(read, np.arange(len(inputs)), device=device)

    def __len__(self) -> int:
        return len(self._rows)

    def chunk(self, start: int, stop: int) -> Chunk:
        return self._moved(start, self._fetched(start, stop))

    def chunks(self, size: int) -> Iterator[Chunk]:
        if len(self) <= size:
            if self._kept is None:
                self._kept = self.chunk(0, len(self))
            yield self._kept
            return
        starts = range(0, len(self), size)
        with ThreadPoolExecutor(1, thread_name_prefix="hessrun-prefetch") as reader:
            coming = reader.submit(self._fetched, 0, size)
            for start, following in pairwise(starts):
                ready = coming.result()
                coming = reader.submit(self._fetched, following, following + size)
                yield self._moved(start, ready)
            yield self._moved(starts[-1], coming.result())

    def take(self, indices: Tensor) -> "Streamed":
        return Streamed(self._read, self._rows[indices.cpu().numpy()], device=self._device)

    def in_dtype(self, dtype: torch.dtype) -> "Streamed":
        def read(rows: npt.NDArray[np.int64]) -> Chunk:
            inputs, targets = self._read(rows)
            return _cast(inputs, dtype), _cast(targets, dtype)

        return Streamed(read, self._rows, device=self._device)

    def _fetched(self, start: int, stop: int) -> Chunk:
        """A chunk on the host, read in parts that stay in a processor's cache while they are converted."""
        rows = self._rows[start:stop]
        first = self._read(rows[:_FEWEST])
        rooms = [_room(part, len(rows), start, torch.device("cpu")) for part in first]
        step = max(_FEWEST, _NUMBERS // max(1, math.prod(first[0].shape[1:])))
        cuts = [0, _FEWEST, *range(_FEWEST + step, len(rows), step)]
        for at, end in pairwise([*(cut for cut in cuts if cut < len(rows)), len(rows)]):
            for room, part in zip(rooms, first if at == 0 else self._read(rows[at:end]), strict=True):
                room[at:end] = part
        inputs, targets = (room.pin_memory() if self._device.type == "cuda" else room for room in rooms)
        return inputs, targets

    def _moved(self, start: int, chunk: Chunk) -> Chunk:
        if self._device.type == "cpu":
            return chunk
        inputs, targets = (_room(part, len(part), start, self._device).copy_(part, non_blocking=True) for part in chunk)
        return inputs, targets


def _room(like: Tensor, count: int, start: int, device: torch.device) -> Tensor:
    """Room for examples from `start` on, [count, ...], at an address as round as theirs within a tensor of all.

    Matrix kernels choose their order of summation by alignment: elsewhere the last bits of f would differ.
    """
    shape = (count, *like.shape[1:])
    offset = start * math.prod(shape[1:]) % max(1, _ALIGNMENT // like.itemsize)
    return torch.empty(offset + math.prod(shape), dtype=like.dtype, device=device)[offset:].view(shape)


def examples_of(inputs: Tensor | Examples, targets: Tensor | None) -> Examples:
    """Two tensors as examples; examples as they are. Raises OptionError for inputs alone."""
    if isinstance(inputs, Examples):
        return inputs
    if targets is None:
        raise OptionError("inputs are given without targets: give both tensors, or Examples in place of both.")
    return InMemory(inputs, targets)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _refuse_unequal(inputs: Sized, targets: Sized) -> None:
    if len(inputs) != len(targets) or len(inputs) == 0:
        raise OptionError(f"inputs and targets must be equally many, one or more: {len(inputs)} and {len(targets)}.")
