"""The batches of a step: every example once an epoch, the same for the same (seed, step, size)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessrun.errors import OptionError
from hessrun.problems.batches import BatchOrder

CPU = torch.device("cpu")


@given(n=st.integers(1, 50), size=st.integers(1, 60), seed=st.integers(0, 2**40), epoch=st.integers(0, 3))
def test_an_epoch_holds_every_example_once_with_a_ragged_last_batch(n: int, size: int, seed: int, epoch: int) -> None:
    order = BatchOrder(n, seed, CPU)
    count = -(-n // size)
    batches = [order.indices(epoch * count + i, size) for i in range(count)]
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    assert [len(b) for b in batches[:-1]] == [size] * (count - 1)
    assert len(batches[-1]) == n - size * (count - 1)


def test_a_batch_depends_on_seed_step_and_size_alone() -> None:
    forwards, backwards = BatchOrder(100, 7, CPU), BatchOrder(100, 7, CPU)
    steps = range(25)
    there = [forwards.indices(t, 8).tolist() for t in steps]
    back = [backwards.indices(t, 8).tolist() for t in reversed(steps)]
    assert there == back[::-1]


def test_epochs_and_neighbouring_seeds_differ() -> None:
    orders = [BatchOrder(100, seed, CPU).indices(epoch, 100).tolist() for seed in range(4) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 16


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    BatchOrder(100, 0, CPU).indices(3, 10)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("step", "size", "name"), [(-1, 4, "step"), (0, 0, "batch_size"), (0, 2.5, "batch_size")])
def test_illegal_batches(step: int, size: int, name: str) -> None:
    with pytest.raises(OptionError, match=f"^{name}="):
        BatchOrder(10, 0, CPU).indices(step, size)
