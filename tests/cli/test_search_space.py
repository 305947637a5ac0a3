"""A method's search space: what it may say, and each wrong word in one line."""

import pytest

from hessrun.cli.composing import compose_words
from hessrun.cli.listing import groups
from hessrun.cli.search_space import Choices, Interval, combinations, parse_space
from hessrun.errors import OptionError


def test_a_space_is_of_intervals_and_choices() -> None:
    space = parse_space(
        {
            "lr": {"low": 1e-4, "high": 1, "log": True},
            "memory": {"low": 5, "high": 20},
            "momentum": {"choices": [0.0, None]},
            "nothing": None,
        },
        "here",
    )
    assert space == {
        "lr": Interval(1e-4, 1.0, log=True, is_whole=False),
        "memory": Interval(5, 20, log=False, is_whole=True),
        "momentum": Choices((0.0, None)),
    }
    assert [value in space["lr"] for value in (0.5, 2, None, True)] == [True, False, False, False]
    assert [5 in space["memory"], 5.5 in space["memory"], None in space["momentum"]] == [True, False, True]
    assert parse_space(None, "here") == {}


def test_a_drawn_number_has_four_digits_and_stays_within() -> None:
    interval = Interval(0.012346, 1.0, log=True, is_whole=False)
    assert interval.rounded(0.5123456) == 0.5123
    assert interval.rounded(0.0123464) == 0.01235
    assert interval.rounded(0.0123444) == 0.012346
    assert Interval(1, 9, log=False, is_whole=True).rounded(7) == 7


def test_choices_alone_have_combinations() -> None:
    space = {"a": Choices((1, 2)), "b": Choices((True, False))}
    assert combinations(space) == [{"a": a, "b": b} for a in (1, 2) for b in (True, False)]
    assert combinations(space | {"c": Interval(0.0, 1.0, log=False, is_whole=False)}) is None


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ([1], "here: must be a mapping such as"),
        ({"lr": 3}, "here.lr: must be {low: 1e-4, high: 1.0, log: true} or {choices"),
        ({"lr": {"low": 1.0, "high": 1.0}}, "here.lr: low=1.0 must be below high=1.0"),
        ({"lr": {"low": 2, "high": 1}}, "here.lr: low=2 must be below high=1"),
        ({"lr": {"low": 0.0, "high": 1.0, "log": True}}, "here.lr: low=0.0 must be above 0 where log is true"),
        ({"lr": {"low": 0.1}}, "here.lr.high=None: must be a finite number"),
        ({"lr": {"low": float("nan"), "high": 1.0}}, "here.lr.low=nan"),
        ({"lr": {"low": "1e-4", "high": 1.0}}, "here.lr.low='1e-4': must be a finite number"),
        ({"lr": {"low": 0.1, "high": 1.0, "log": "yes"}}, "here.lr.log='yes': must be true or false"),
        ({"lr": {"low": 0.1, "hihg": 1.0}}, "Did you mean 'high'?"),
        ({"lr": {"choices": [1], "log": True}}, "'log' has no place there"),
        ({"lr": {"choices": []}}, "here.lr.choices: must be a list of at least one value"),
        ({"lr": {"choices": 0.1}}, "here.lr.choices: must be a list of at least one value"),
        ({"lr": {"choices": [[1]]}}, "must be finite numbers, words, true, false or null; got [1]"),
        ({"lr": {"choices": [1, 1]}}, "names a value twice"),
        ({"lr": {"choices": [1, True]}}, "names a value twice"),
    ],
)
def test_what_is_wrong_with_a_space_is_one_line(wrong: object, line: str) -> None:
    with pytest.raises(OptionError) as raised:
        parse_space(wrong, "here")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("optimizer", groups()["optimizer"])
def test_every_optimizer_says_what_is_searched_and_its_own_settings_lie_within(optimizer: str) -> None:
    composed = compose_words([f"optimizer={optimizer}"])
    config, _ = composed.resolved()
    space = parse_space(config["optimizer"]["search_space"], optimizer)
    for key, found in space.items():
        value = config["optimizer"]
        for part in key.split("."):
            value = value[int(part) if part.isdecimal() else part]
        assert value in found, f"{optimizer}: {key}"
