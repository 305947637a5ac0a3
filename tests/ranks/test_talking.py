"""What the ranks tell each other."""

from typing import Any

import pytest
import torch
from crew import Crew

from hessrun import ranks
from hessrun.errors import HessrunError, OptionError, RanksError


def _sums(lengths: list[int]) -> list[list[float]]:
    found = []
    for length in lengths:
        generator = torch.Generator().manual_seed(length + 1000 * ranks.rank())
        found.append(ranks.sum_(torch.randn(length, generator=generator, dtype=torch.float64)).tolist())
    return found


def test_a_sum_has_the_same_bits_on_all_ranks_whatever_its_length(crew: Crew) -> None:
    lengths = [*range(1, 40), 257, 1024, 10_007]
    found = crew(_sums, lengths)
    assert all(other == found[0] for other in found[1:])
    for length, summed in zip(lengths, found[0], strict=True):
        generators = [torch.Generator().manual_seed(length + 1000 * rank) for rank in range(len(found))]
        parts = [torch.randn(length, generator=g, dtype=torch.float64) for g in generators]
        assert torch.allclose(torch.tensor(summed, dtype=torch.float64), sum(parts), rtol=1e-14, atol=1e-14)


def _numbers() -> tuple[Any, ...]:
    own = float(ranks.rank())
    return ranks.size(), ranks.largest(own, -own), ranks.agree(own + 5), ranks.is_writer()


def test_the_largest_and_the_agreed_numbers_are_the_same_on_all(crew: Crew) -> None:
    found = crew(_numbers)
    size = len(found)
    assert [numbers[:3] for numbers in found] == [(size, (size - 1.0, 0.0), 5.0)] * size
    assert [numbers[3] for numbers in found] == [True] + [False] * (size - 1)


def _written() -> dict[str, Any]:
    return ranks.by_writer(lambda: {"rank": ranks.rank(), "x": torch.arange(3.0), "none": None, "words": ["a", "b"]})


def test_what_the_writer_found_is_told_to_all(crew: Crew) -> None:
    for found in crew(_written):
        assert found["rank"] == 0
        assert found["x"].tolist() == [0.0, 1.0, 2.0]
        assert (found["none"], found["words"]) == (None, ["a", "b"])


def _refused(error: type[Exception], culprit: int, jointly: bool) -> tuple[str, str]:
    def act() -> None:
        if ranks.rank() == culprit:
            raise error("no such thing")

    try:
        (ranks.together if jointly else ranks.by_writer)(act)
    except (HessrunError, ValueError) as found:
        return type(found).__name__, str(found)
    return "nothing", ""


@pytest.mark.parametrize(("culprit", "jointly"), [(0, False), (0, True), (1, True)])
def test_what_one_rank_raises_is_raised_on_all(crew: Crew, culprit: int, jointly: bool) -> None:
    assert set(crew(_refused, OptionError, culprit, jointly)) == {("OptionError", "no such thing")}


def test_an_error_that_is_no_misuse_names_its_rank_on_the_others(crew: Crew) -> None:
    found = crew(_refused, ValueError, 1, True)
    assert found[1] == ("ValueError", "no such thing")
    assert found[0] == ("RanksError", "rank 1: ValueError: no such thing")


def _compared(differs: bool) -> str:
    vector = torch.ones(5, dtype=torch.float32)
    if differs and ranks.rank() == 1:
        vector[3] = torch.nan
    try:
        ranks.require_same(vector, "x")
        ranks.require_same_text("words", "the data")
    except RanksError as error:
        return str(error)
    return ""


def test_vectors_of_other_bits_are_refused_on_all(crew: Crew) -> None:
    assert set(crew(_compared, False)) == {""}
    assert {found.split(":")[0] for found in crew(_compared, True)} == {"x is not the same on all ranks"}


def test_one_process_talks_to_nobody() -> None:
    vector = torch.ones(2)
    assert ranks.sum_(vector) is vector
    assert ranks.largest(1.0, 2.0) == (1.0, 2.0)
    assert ranks.agree(3.0) == 3.0
    assert ranks.together(lambda: 4) == ranks.by_writer(lambda: 4) == 4
    assert (ranks.size(), ranks.rank(), ranks.is_writer(), ranks.has_left()) == (1, 0, True, False)
    ranks.leave("nobody listens")
    ranks.stop()


def test_an_environment_of_another_program_is_not_taken_for_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert ranks.place() == ranks.Place()
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "one")
    with pytest.raises(OptionError, match="must be whole numbers"):
        ranks.place()
