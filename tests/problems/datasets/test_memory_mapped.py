"""Mapped files: what is refused in one line, and that reading a large one takes little memory."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hessrun.errors import DataError, OptionError
from hessrun.problems.datasets import MemoryMapped
from hessrun.problems.datasets.mapped import MappedArray

GOOD = {"inputs": np.arange(40.0).reshape(20, 2), "targets": np.arange(20) % 3}


def write(folder: Path, **arrays) -> dict[str, str]:
    """The options of a dataset of these arrays; bytes are written as they are, None not at all."""
    options = {}
    for name, array in {**GOOD, **arrays}.items():
        path = folder / f"{name}.npy"
        options[name] = str(path)
        if isinstance(array, bytes):
            path.write_bytes(array)
        elif array is not None:
            np.save(path, array, allow_pickle=True)
    return options


def with_nan(row: int) -> np.ndarray:
    inputs = GOOD["inputs"].copy()
    inputs[row, 1] = np.nan
    return inputs


def cut(array: np.ndarray, path: Path) -> bytes:
    np.save(path, array)
    return path.read_bytes()[:-9]


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ({"inputs": None}, {}, DataError, r"dataset\.inputs=.*inputs\.npy: no such file"),
        ({"targets": None}, {}, DataError, r"dataset\.targets=.*targets\.npy: no such file"),
        ({"inputs": np.array([[1, "a"]] * 20, dtype=object)}, {}, DataError, "Python objects in dtype"),
        ({"inputs": GOOD["inputs"] * 1j}, {}, DataError, "holds complex128; real numbers are needed"),
        ({"inputs": np.array([["a", "b"]] * 20)}, {}, DataError, "holds <U1; real numbers are needed"),
        ({"inputs": np.asfortranarray(GOOD["inputs"])}, {}, DataError, "rows are scattered"),
        ({"targets": GOOD["targets"] * 1j}, {}, DataError, "holds complex128"),
        ({"inputs": "truncated"}, {}, DataError, r"inputs\.npy: no \.npy file of numbers, or truncated \(mmap length"),
        ({"inputs": b""}, {}, DataError, r"or truncated \(EOF"),
        ({"inputs": b"1,2,3\n4,5,6\n"}, {}, DataError, "no .npy file of numbers"),
        ({"inputs": np.float64(3)}, {}, DataError, "holds a single number"),
        (
            {"inputs": np.arange(20.0)},
            {},
            DataError,
            r"inputs must be \[N, \.\.\.\], N .*; got \[20\]",
        ),
        ({"inputs": np.zeros((0, 2)), "targets": np.zeros(0)}, {}, DataError, "there are no examples"),
        ({"targets": np.arange(19)}, {}, DataError, "20 inputs and 19 targets; they must be equally many"),
        ({"targets": np.zeros((20, 2), int)}, {}, DataError, r"targets must be \[N\] classes; got \[20, 2\] of int64"),
        ({"targets": np.zeros((20, 2, 2))}, {}, DataError, r"must be \[N\] or \[N, K\] numbers; got \[20, 2, 2\]"),
        ({"targets": np.arange(20) - 1}, {}, DataError, "classes must be from 0 up; found -1"),
        ({"targets": np.arange(20) * 7}, {}, DataError, "the largest class is 133, of 20 examples; whole numbers are"),
        ({}, {"n_classes": 2}, DataError, "classes must be from 0 to 1; found 2"),
        ({"inputs": with_nan(3)}, {}, DataError, "the inputs hold values that are not finite"),
        ({"inputs": with_nan(3)}, {"limit": 1}, DataError, "the inputs hold values that are not finite"),
        ({"targets": np.full(20, np.inf)}, {}, DataError, "the targets hold values that are not finite"),
        ({"test_inputs": np.zeros((3, 5)), "test_targets": np.zeros(3, int)}, {}, DataError, r"shape \[5\]"),
        ({"test_inputs": np.zeros((3, 2)), "test_targets": np.zeros(3)}, {}, DataError, "no target of the kind of"),
        ({"test_inputs": np.zeros((3, 2))}, {}, OptionError, "give both files or neither"),
        ({}, {"scale": 0}, OptionError, "dataset.scale=0"),
        ({}, {"n_classes": 0}, OptionError, "dataset.n_classes=0"),
        ({}, {"test_fraction": 1.0}, OptionError, "dataset.test_fraction=1.0"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_does_not_fit_is_refused(
    arrays: dict, options: dict, error: type[Exception], message: str, in_memory: bool, tmp_path: Path
) -> None:
    arrays = {k: cut(GOOD[k], tmp_path / "whole.npy") if isinstance(v, str) else v for k, v in arrays.items()}
    paths = write(tmp_path, **arrays)
    with pytest.raises(error, match=message) as caught:
        MemoryMapped(**paths, **options, in_memory=in_memory).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.arange(6000.0).reshape(3000, 2), np.eye(7)[:, None] > 0, np.eye(7).astype(">f4")])
def test_rows_are_those_of_the_file(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    mapped = MappedArray(str(tmp_path / "a.npy"), "a")
    rows = np.random.default_rng(0).integers(0, len(array), 2 * len(array))
    assert np.array_equal(mapped[rows], array[rows])
    assert (mapped.shape, mapped.dtype, len(mapped)) == (array.shape, array.dtype, len(array))
    assert mapped[rows[:0]].shape == (0, *array.shape[1:])


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    paths = write(tmp_path)
    data = MemoryMapped(**paths).load()
    os.truncate(paths["inputs"], 200)
    with pytest.raises(DataError, match="the file became shorter while it was read"):
        data.train.held()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of a process")
def test_a_file_of_400_megabytes_is_trained_on_in_a_fraction_of_that(tmp_path: Path) -> None:
    """100,000 examples of 1,000 numbers: in memory 800 MB in float64; read chunk by chunk, a fraction."""
    shape = (100_000, 1_000)
    inputs = np.lib.format.open_memmap(tmp_path / "inputs.npy", mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, shape[0], 10_000):
        inputs[start : start + 10_000] = np.random.default_rng(start).random((10_000, shape[1]), dtype=np.float32)
    inputs.flush()
    del inputs
    np.save(tmp_path / "targets.npy", np.arange(shape[0]) % 5)
    program = f"""
        import re
        import torch
        from hessrun.problems import supervised
        from hessrun.problems.datasets import MemoryMapped
        from hessrun.problems.losses import Auto
        from hessrun.problems.models import linear

        def peak():
            # Megabytes of this program alone: getrusage's figure begins at that of the parent.
            return int(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))[1]) / 1000

        # 4 MB a chunk, so that the chunks are not what is measured.
        data = MemoryMapped(inputs={str(tmp_path / "inputs.npy")!r}, targets={str(tmp_path / "targets.npy")!r})
        start = peak()
        problem = supervised(data, linear, Auto(), dtype=torch.float32, chunk_size=1000)
        problem.train.evaluate(problem.x0)
        problem.train.curvature(problem.x0) @ problem.x0
        problem.metrics(problem.x0)
        print(peak() - start, float(problem.train.evaluate(problem.x0).value))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    megabytes, loss = map(float, run.stdout.split())
    assert 0 < megabytes < 200
    assert 1 < loss < 3  # ln 5 and a little
