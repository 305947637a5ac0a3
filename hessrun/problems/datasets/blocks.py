"""In which parts a dataset is read: a rule of shapes alone, so that sums over parts have the same last bits."""

import math
from collections.abc import Iterator

_EXAMPLES, _NUMBERS, _FEWEST = 4096, 2**20, 16


def blocks(count: int, shape: tuple[int, ...]) -> Iterator[slice]:
    """`count` examples of this shape, at most 4,096 or about a million numbers at a time (8 MiB in float64)."""
    size = max(_FEWEST, min(_EXAMPLES, _NUMBERS // max(1, math.prod(shape))))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
