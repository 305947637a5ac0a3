"""Examples that are read when they are asked for: the same function to the bit, a chunk ahead, in the memory of two."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peak import PeakMemory
from torch import nn
from torch.nn import functional

from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk, InMemory, Streamed

INPUTS = np.random.default_rng(0).normal(size=(37, 5))
CLASSES = np.random.default_rng(1).integers(0, 3, 37)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def held(dtype: torch.dtype = torch.float64) -> InMemory:
    # torch's own memory begins where kernels like it; NumPy's need not.
    return InMemory(torch.from_numpy(INPUTS).to(dtype, copy=True), torch.from_numpy(CLASSES).clone())


def streamed(dtype: torch.dtype = torch.float64) -> Streamed:
    return Streamed.of(INPUTS, CLASSES, dtype=dtype)


def pair(**options) -> tuple[EmpiricalRisk, EmpiricalRisk]:
    decay = {"*weight": 0.1}
    return tuple(
        EmpiricalRisk(network(), functional.cross_entropy, examples, weight_decay=decay, **options)
        for examples in (held(), streamed())
    )


@given(size=st.integers(1, 40), rows=st.lists(st.integers(0, 36), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_chunks_are_the_same_whatever_their_size(size: int, rows: list[int]) -> None:
    for whole, part in ((held(), streamed()), (held().take(torch.tensor(rows)), streamed().take(torch.tensor(rows)))):
        found, expected = list(part.chunks(size)), list(whole.chunks(size))
        assert [len(inputs) for inputs, _ in found] == [len(inputs) for inputs, _ in expected]
        for chunks in zip(found, expected, strict=True):
            for mine, theirs in zip(*chunks, strict=True):
                assert mine.dtype == theirs.dtype
                assert torch.equal(mine, theirs)
        assert all(torch.equal(a, b) for a, b in zip(part.chunk(3, 7), whole.chunk(3, 7), strict=True))


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 36, 37, 50])
@pytest.mark.parametrize("graph_memory", [0, 2**30])
def test_the_same_function_to_the_bit(chunk_size: int | None, graph_memory: int) -> None:
    whole, part = pair(chunk_size=chunk_size, graph_memory=graph_memory)
    x = whole.x0 + 0.3
    here, there = whole.evaluate(x), part.evaluate(x)
    assert torch.equal(here.value, there.value)
    assert torch.equal(here.gradient, there.gradient)
    assert torch.equal(whole.evaluate(x, gradient=False).value, part.evaluate(x, gradient=False).value)
    for kind in whole.curvature_kinds():
        with whole.curvature(x, kind=kind) as H, part.curvature(x, kind=kind) as G:
            assert torch.equal(H @ x, G @ x)
            assert torch.equal(H @ torch.stack([x, 2 - x], dim=1), G @ torch.stack([x, 2 - x], dim=1))
    assert torch.equal(whole.hessian(x), part.hessian(x))
    assert torch.equal(whole.outputs(x), part.outputs(x))
    assert torch.equal(part.inputs, whole.inputs)
    assert torch.equal(part.targets, whole.targets)
    assert part.counts == whole.counts


def test_what_is_made_of_a_risk_is_the_same_too() -> None:
    whole, part = pair(chunk_size=5)
    x, rows = whole.x0 + 0.3, torch.tensor([4, 30, 4, 0, 11, 12, 13])
    for make in (
        lambda f: f.subset(rows),
        lambda f: f.in_dtype(torch.float32),
        lambda f: f.subset(rows).in_dtype(torch.float32),
        lambda f: f.in_dtype(torch.float32).subset(rows),
        lambda f: f.restricted(x, ["0.weight"]),
        lambda f: f.on(f.examples.take(rows)),
    ):
        here, there = make(whole), make(part)
        at = here.x0 * 1.5
        assert torch.equal(here.evaluate(at).gradient, there.evaluate(at).gradient)
        assert torch.equal(here.evaluate(at).value, there.evaluate(at).value)


class Watched:
    """Reads, and notes which rows were asked for and in which thread."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[list[int]] = []
        self.threads: set[str] = set()
        self.first_seconds, self._seconds = [], seconds

    def __call__(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(rows.tolist())
        self.threads.add(threading.current_thread().name)
        time.sleep(self._seconds)
        return torch.from_numpy(INPUTS[rows]), torch.from_numpy(CLASSES[rows])


def test_a_minibatch_reads_its_rows_alone_and_once() -> None:
    read = Watched()
    risk = EmpiricalRisk(network(), functional.cross_entropy, Streamed(read, np.arange(37)), chunk_size=5)
    read.asked.clear()
    batch = risk.subset(torch.tensor([31, 2, 8]))
    assert read.asked == []
    for _ in range(3):
        batch.evaluate(risk.x0)
    assert read.asked == [[31, 2, 8]]


def test_one_chunk_is_read_ahead_in_another_thread() -> None:
    read = Watched()
    chunks = Streamed(read, np.arange(37)).chunks(10)
    next(chunks)
    limit = time.monotonic() + 5
    while len(read.asked) < 2 and time.monotonic() < limit:
        time.sleep(0.001)
    assert [rows[0] for rows in read.asked] == [0, 10]
    assert [len(inputs) for inputs, _ in chunks] == [10, 10, 7]
    assert all(name.startswith("hessrun-prefetch") for name in read.threads)


def test_no_thread_is_left_where_the_pass_is_broken_off() -> None:
    def broken(rows: np.ndarray):
        if rows[0] >= 10:
            raise OSError("the disk is gone")
        return Watched()(rows)

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        list(Streamed(broken, np.arange(37)).chunks(5))
    chunks = Streamed(Watched(), np.arange(37)).chunks(5)
    next(chunks)
    chunks.close()
    assert threading.active_count() == before


def test_reading_overlaps_with_computing() -> None:
    reading = Watched(seconds=0.02)
    start = time.monotonic()
    for _ in Streamed(reading, np.arange(37)).chunks(4):
        time.sleep(0.02)
    # Ten of each, one after the other, would take 0.4 s.
    assert time.monotonic() - start < 0.35


@pytest.mark.parametrize("kind", ["gradient", "hessian", "products"])
def test_more_examples_take_no_more_memory(kind: str) -> None:
    peaks = []
    for n in (48, 320):

        def read(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(rows), 5, dtype=torch.float64), torch.zeros(len(rows), dtype=torch.long)

        risk = EmpiricalRisk(
            network(), functional.cross_entropy, Streamed(read, np.arange(n)), chunk_size=16, graph_memory=0
        )
        with PeakMemory() as memory:
            if kind == "gradient":
                risk.evaluate(risk.x0)
            elif kind == "hessian":
                risk.hessian(risk.x0)
            else:
                risk.curvature(risk.x0) @ risk.x0
        peaks.append(memory.peak)
    assert peaks[1] <= 1.05 * peaks[0]


def test_graphs_are_kept_only_within_their_memory() -> None:
    """Kept graphs hold their inputs: where they fit, many products read the examples once."""
    for graph_memory, passes in ((2**30, 1), (0, 3)):
        read = Watched()
        risk = EmpiricalRisk(
            network(),
            functional.cross_entropy,
            Streamed(read, np.arange(37)),
            chunk_size=10,
            graph_memory=graph_memory,
        )
        read.asked.clear()
        with risk.curvature(risk.x0) as curvature:
            for _ in range(3):
                curvature @ risk.x0
        assert len(read.asked) == 4 * passes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Streamed.of(INPUTS, CLASSES[:5], dtype=torch.float64), "equally many, one or more: 37 and 5"),
        (lambda: Streamed(Watched(), np.arange(0)), "equally many, one or more: 0 and 0"),
        (
            lambda: EmpiricalRisk(network(), functional.cross_entropy, torch.zeros(3, 5)),
            "inputs are given without targets",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_fractions_take_the_dtype_and_whole_numbers_do_not() -> None:
    for targets, kind in ((CLASSES.astype(np.uint8), torch.int64), (INPUTS[:, :2], torch.float32)):
        inputs, labels = Streamed.of(INPUTS, targets, dtype=torch.float32).chunk(0, 3)
        assert (inputs.dtype, labels.dtype) == (torch.float32, kind)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_cuda_device() -> None:
    part = Streamed.of(INPUTS, CLASSES, dtype=torch.float64, device="cuda")
    for (inputs, targets), (here, there) in zip(part.chunks(10), held().chunks(10), strict=True):
        assert inputs.is_cuda
        assert torch.equal(inputs.cpu(), here)
        assert torch.equal(targets.cpu(), there)
