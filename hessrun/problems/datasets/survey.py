"""The first pass over a dataset: are its numbers fit, how many classes are there, its fingerprint, its moments."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from hessrun.errors import DataError
from hessrun.problems.datasets.blocks import blocks
from hessrun.problems.datasets.data import Examples, Rows, Source, Split, Table
from hessrun.problems.datasets.standardise import Moments, Standardisation

# The targets of a split wait in memory, up to so many bytes, until its inputs are hashed.
_SPOOL = 2**26


@dataclass(frozen=True)
class Part:
    """Some rows of a table, in their order. keeps_classes: its classes are wanted in memory."""

    table: Table
    rows: Rows
    keeps_classes: bool = False

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Survey:
    """What a pass over all examples found.

    fingerprint: sha256 over what was read, split by split; n_outputs: as the source says, or one more than the largest
    class; standardisation: None where none was asked for; classes: [N] int64 of each part that keeps them.
    """

    fingerprint: str
    n_outputs: int
    standardisation: Standardisation | None
    classes: tuple[Tensor | None, ...]


def survey(label: str, source: Source, parts: Sequence[Part], left_out: Part, *, standardise: bool) -> Survey:
    """Read all parts of a source once, block by block; a bar on a terminal shows how far it is after a second.

    parts: the training split and the others, in the order of the fingerprint; left_out: rows that are in none, whose
    numbers count for nothing but must be fit all the same.
    Raises DataError for numbers that are not finite, for classes outside their range, and for arrays of several dtypes.
    """
    check = _Check(label, source)
    inputs, targets = Moments(), Moments()
    digest = hashlib.sha256()
    kept: list[Tensor | None] = []
    total = len(left_out) + sum(len(part) for part in parts)
    with tqdm(total=total, desc=f"reading {label}", unit="example", delay=1, leave=False, disable=None) as bar:
        for part in parts:
            empty, classes = part.table.take(part.rows[:0]), []
            digest.update(_header(empty.inputs, len(part)))
            with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
                for examples in _read(part, check):
                    digest.update(_plain(examples.inputs))
                    spool.write(_plain(examples.targets))
                    if standardise and part is parts[0]:
                        split = tensors(examples, source)
                        inputs.add(split.inputs)
                        if source.task == "regression":
                            targets.add(split.targets)
                    if part.keeps_classes:
                        classes.append(examples.targets.astype(np.int64))
                    bar.update(len(examples))
                digest.update(_header(empty.targets, len(part)))
                spool.seek(0)
                while piece := spool.read(_SPOOL):
                    digest.update(piece)
            kept.append(torch.from_numpy(np.concatenate(classes)) if classes else None)
        for examples in _read(left_out, check):
            bar.update(len(examples))
    if source.n_outputs is None and check.n_outputs > total:
        raise DataError(
            f"{label}: the largest class is {check.n_outputs - 1}, of {total} examples; whole numbers are classes from "
            "0: number them without gaps, or store the targets of a regression as floating-point numbers."
        )
    fitted = None
    if standardise:
        fitted = Standardisation(inputs.affine(), targets.affine() if source.task == "regression" else None)
    return Survey(digest.hexdigest(), check.n_outputs, fitted, tuple(kept))


def tensors(examples: Examples, source: Source) -> Split:
    """Examples as they were read, in float64 and units of 1."""
    kind = np.int64 if source.task == "classification" else np.float64
    inputs = examples.inputs.astype(np.float64, order="C")
    if source.scale != 1.0:
        inputs /= source.scale
    return Split(torch.from_numpy(inputs), torch.from_numpy(examples.targets.astype(kind)))


class _Check:
    """Refuses numbers that do not fit, and keeps the range of the classes."""

    def __init__(self, label: str, source: Source) -> None:
        self._label, self._source = label, source
        self._high = -1

    def __call__(self, examples: Examples, *, like: Examples) -> None:
        for what, array, first in (
            ("inputs", examples.inputs, like.inputs),
            ("targets", examples.targets, like.targets),
        ):
            if array.dtype != first.dtype:
                raise DataError(
                    f"{self._label}: some {what} are {array.dtype} and others {first.dtype}; all must be the same."
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DataError(f"{self._label}: the {what} hold values that are not finite.")
        if self._source.task == "classification":
            self._classes(examples.targets)

    def _classes(self, targets: npt.NDArray[np.generic]) -> None:
        low, high, known = int(targets.min()), int(targets.max()), self._source.n_outputs
        if low < 0 or (known is not None and high >= known):
            allowed = "from 0 up" if known is None else f"from 0 to {known - 1}"
            raise DataError(f"{self._label}: classes must be {allowed}; found {low if low < 0 else high}.")
        self._high = max(self._high, high)

    @property
    def n_outputs(self) -> int:
        known = self._source.n_outputs
        return self._high + 1 if known is None else known


def _read(part: Part, check: _Check) -> Iterator[Examples]:
    empty = part.table.take(part.rows[:0])
    for block in blocks(len(part), empty.inputs.shape[1:]):
        examples = part.table.inspect(part.rows[block])
        check(examples, like=empty)
        yield examples


def _header(array: npt.NDArray[np.generic], count: int) -> bytes:
    """The dtype and the shape of `count` such rows."""
    return f"{array.dtype.newbyteorder('<').str}{(count, *array.shape[1:])}".encode()


def _plain(array: npt.NDArray[np.generic]) -> bytes:
    """Little-endian bytes, whatever the machine's order: the same on every machine, before any arithmetic."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
