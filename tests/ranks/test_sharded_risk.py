"""The risk over examples that ranks share out, beside the same risk in one process."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed
from crew import Crew
from torch import Tensor, nn
from torch.nn import functional

from hessrun import ranks
from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk, Objective, restrict
from hessrun.objective.shard import Shard
from hessrun.objective.sharded import ShardedRisk

N = 101
TIGHT = 1e-12

Arrays = dict[str, Any]


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def _convolution() -> nn.Module:
    """No exact Hessian by layers: it goes by products."""
    return nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 2), nn.GELU(), nn.Flatten(), nn.Linear(12, 3))


MODELS: dict[str, Callable[[], nn.Module]] = {"perceptron": _perceptron, "convolution": _convolution}
DECAYS: dict[str, Any] = {"perceptron": 0.03, "convolution": {"*weight": 0.1}}
# The shares of the examples that ranks 0, 1, ... hold; the last one takes the rest.
SHARES = {"even": None, "uneven": (1, 60)}


def _examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(N, 5, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(3, (N,), generator=generator)


def _module(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return MODELS[name]().double()


def _whole(name: str, chunk_size: int | None = None) -> EmpiricalRisk:
    return EmpiricalRisk(
        _module(name), functional.cross_entropy, *_examples(), weight_decay=DECAYS[name], chunk_size=chunk_size
    )


def _sharded(name: str, shares: str, chunk_size: int | None = None) -> ShardedRisk:
    given = SHARES[shares]
    shard = Shard.of_this_rank(N)
    if given is not None:
        ends = [0, *given[: ranks.size() - 1], N]
        shard = Shard(ends[ranks.rank()], ends[ranks.rank() + 1], N)
    here = slice(shard.first, shard.stop)
    inputs, targets = _examples()
    part = EmpiricalRisk(
        _module(name),
        functional.cross_entropy,
        inputs[here],
        targets[here],
        weight_decay=DECAYS[name],
        chunk_size=chunk_size,
    )
    return ShardedRisk(part, shard)


def _asked(objective: Objective, x: Tensor) -> Arrays:
    """All that an objective can be asked for at x."""
    generator = torch.Generator().manual_seed(11)
    block = torch.randn(objective.dim, 3, generator=generator, dtype=objective.dtype)
    evaluation = objective.evaluate(x)
    found: Arrays = {
        "value": evaluation.value,
        "value alone": objective.evaluate(x, gradient=False).value,
        "gradient": evaluation.gradient,
    }
    for kind in objective.curvature_kinds():
        with objective.curvature(x, kind=kind) as curvature:
            found[f"{kind} v"], found[f"{kind} V"] = curvature @ block[:, 0], curvature @ block
        found[kind] = objective.hessian(x, kind=kind)
    with objective.curvature(x, dtype=torch.float32) as single:
        found["in float32"] = single @ block
    return found


def _numpy(found: Arrays) -> Arrays:
    return {key: value.numpy() for key, value in found.items()}


def _point(objective: EmpiricalRisk | ShardedRisk) -> Tensor:
    return objective.x0 + 0.1


def _form(objective: Any, form: str) -> tuple[Objective, Tensor]:
    """The objective in one of the forms that methods use it in, and x."""
    x = _point(objective)
    if form == "restricted":
        return restrict(objective, x, "*weight")
    if form == "uncounted":
        return objective.uncounted(), x
    if form.startswith("batch"):
        indices = torch.randperm(N, generator=torch.Generator().manual_seed(5))[: int(form.removeprefix("batch "))]
        return objective.subset(indices), x
    return objective, x


def _sharded_answers(name: str, shares: str, form: str, chunk_size: int | None) -> tuple[Arrays, Any]:
    objective = _sharded(name, shares, chunk_size)
    view, x = _form(objective, form)
    return _numpy(_asked(view, x)), objective.counts


FORMS = ["whole", "restricted", "uncounted", "batch 40", "batch 1"]


@pytest.mark.parametrize(
    ("crew", "name", "form"),
    [
        # Of three ranks, the quick tests take the batch of which two have no example.
        pytest.param(size, name, form, marks=() if size == 2 or form == "batch 1" else pytest.mark.slow)
        for size in (2, 3)
        for name in MODELS
        for form in FORMS
    ],
    indirect=["crew"],
)
def test_every_answer_is_that_of_one_process(crew: Crew, name: str, form: str) -> None:
    objective = _whole(name)
    view, x = _form(objective, form)
    expected = _asked(view, x)
    answers = crew(_sharded_answers, name, "even", form, None)
    for found, counts in answers:
        assert counts == objective.counts
        assert found.keys() == expected.keys()
        for what, value in expected.items():
            error = torch.linalg.vector_norm(torch.from_numpy(found[what]) - value)
            allowed = 1e-5 if what == "in float32" else TIGHT
            assert float(error) <= allowed * float(torch.linalg.vector_norm(value)), what
            assert (found[what] == answers[0][0][what]).all(), f"{what} differs from rank to rank"
        assert (found["hessian"] == found["hessian"].T).all()


@pytest.mark.parametrize(("shares", "chunk_size"), [("uneven", None), ("even", 7), ("uneven", 7)])
def test_uneven_shards_and_ragged_chunks_are_weighted_by_their_examples(
    crew: Crew, shares: str, chunk_size: int | None
) -> None:
    objective = _whole("perceptron")
    expected = _asked(objective, _point(objective))
    for found, _ in crew(_sharded_answers, "perceptron", shares, "whole", chunk_size):
        for what in ("value", "gradient", "hessian V", "hessian", "gauss_newton"):
            error = torch.linalg.vector_norm(torch.from_numpy(found[what]) - expected[what])
            assert float(error) <= TIGHT * float(torch.linalg.vector_norm(expected[what])), what


def _collectives() -> list[int]:
    """How many sums over the ranks an evaluation, a product, a block of them and a Hessian take."""
    objective, calls = _sharded("perceptron", "even"), 0
    whole_sum = torch.distributed.all_reduce

    def counting(tensor: Tensor, *rest: Any) -> Any:
        nonlocal calls
        calls += tensor.numel() > 1
        return whole_sum(tensor, *rest)

    x = _point(objective)
    block = torch.ones(objective.dim, 4, dtype=torch.float64)
    found = []
    torch.distributed.all_reduce = counting
    try:
        with objective.curvature(x) as curvature:
            for act in (
                lambda: objective.evaluate(x),
                lambda: curvature @ block[:, 0],
                lambda: curvature @ block,
                lambda: objective.hessian(x),
            ):
                before = calls
                act()
                found.append(calls - before)
    finally:
        torch.distributed.all_reduce = whole_sum
    return found


def test_each_answer_takes_one_sum_over_the_ranks(crew: Crew) -> None:
    assert crew(_collectives) == [[1, 1, 1, 1]] * len(crew.processes)


def test_shards_hold_every_example_once() -> None:
    shard = Shard(3, 5, 8)
    assert shard.held(torch.tensor([4, 0, 3, 7])).tolist() == [1, 0]
    assert (shard.count, shard.is_all, Shard(0, 8, 8).is_all) == (2, False, True)


def _places(total: int) -> tuple[int, int]:
    shard = Shard.of_this_rank(total)
    return shard.first, shard.stop


@pytest.mark.parametrize("total", [1, 2, 3, 100, 101])
def test_shares_are_even(crew: Crew, total: int) -> None:
    found = crew(_places, total)
    assert (found[0][0], found[-1][1]) == (0, total)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(found))
    counts = [stop - first for first, stop in found]
    assert max(counts) - min(counts) <= 1


def _refusal(total: int) -> str:
    try:
        Shard.of_this_rank(total).refuse_empty("The training split")
    except OptionError as error:
        return str(error)
    return ""


def test_fewer_examples_than_ranks_are_refused_in_one_line(crew: Crew) -> None:
    size = len(crew.processes)
    told = f"The training split: each of {size} ranks needs an example, and there are 1; start fewer ranks."
    assert crew(_refusal, 1) == [told] * size
    assert crew(_refusal, size) == [""] * size
