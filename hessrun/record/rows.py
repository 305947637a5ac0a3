"""A trace kept as columns: a tenth of the memory of its rows as dictionaries, and each column an array."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Rows(Sequence[dict[str, Any]]):
    """The rows of a trace as a sequence of dictionaries of numbers, made when they are asked for.

    columns: by name, each [rows]; nan where a row lacks it or holds no number.
    """

    def __init__(self, columns: Mapping[str, Array], count: int) -> None:
        self.columns = dict(columns)
        self._count = count
        for values in self.columns.values():
            values.flags.writeable = False

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Rows":
        """The same rows as columns."""
        forms = dict.fromkeys(map(tuple, rows))
        names = list(dict.fromkeys(chain.from_iterable(forms)))
        if len(forms) == 1:
            columns = [list(values) for values in zip(*(row.values() for row in rows), strict=True)]
        else:
            columns = [[row.get(name) for row in rows] for name in names]
        return cls({name: _floats(values) for name, values in zip(names, columns, strict=True)}, len(rows))

    def column(self, name: str) -> Array:
        """A column, [rows], read-only; nan throughout where there is none of that name."""
        found = self.columns.get(name)
        return np.full(self._count, np.nan) if found is None else found

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._row(i) for i in range(*index.indices(self._count))]
        return self._row(range(self._count)[index])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._row(i) for i in range(self._count))

    def _row(self, index: int) -> dict[str, Any]:
        return {name: float(values[index]) for name, values in self.columns.items()}


def _floats(values: list[Any]) -> Array:
    try:
        return np.array(values, dtype=float)  # None becomes nan
    except (TypeError, ValueError):
        return np.array([float(v) if isinstance(v, int | float) else np.nan for v in values])
