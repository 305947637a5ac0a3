"""Errors, statuses and ranges: one clear line each."""

import doctest

import pytest

from hessrun import errors, options
from hessrun.errors import HessrunError, OptionError
from hessrun.status import RunState, Status

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (options.positive, [1, 1e-300], [0, -1.0, NAN, INF, "", None, True, "1"]),
        (options.non_negative, [0, 0.0, 5], [-1e-9, NAN, INF, "", None, False]),
        (options.fraction, [0, 0.999], [1, -0.1, NAN, "", True]),
        (lambda name, value: options.between(name, value, 0, 1), [0.5], [0, 1, NAN, "", True]),
        (lambda name, value: options.integer(name, value, minimum=1), [1, 10**9], [0, 1.0, "1", "", True, None]),
        (options.boolean, [True, False], [0, 1, "true", None, ""]),
        (lambda name, value: options.choice(name, value, ("every", "first")), ["every"], ["evry", 1, None, ""]),
    ],
)
def test_ranges_name_the_option_and_what_was_got(check, good, bad):
    for value in good:
        check("lr", value)
    for value in bad:
        with pytest.raises(OptionError) as caught:
            check("lr", value)
        assert str(caught.value).startswith(f"lr={value!r}: must be ")
        assert "\n" not in str(caught.value)


def test_the_nearest_word_is_named():
    with pytest.raises(OptionError, match=r"must be one of every, first\. Did you mean 'every'\?"):
        options.choice("scaling", "evry", ("every", "first"))
    assert options.nearest("zzz", ["every"]) == ""


def test_all_errors_are_of_one_family():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) == 9
    assert all(issubclass(kind, HessrunError) for kind in kinds)


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_sentence_and_a_state(status):
    assert status.sentence.endswith(".")
    assert isinstance(status.state, RunState)
    assert not status.is_method_failure or status.state is RunState.FINISHED


def test_states():
    assert Status.DIVERGED.state is RunState.DIVERGED
    assert Status.CONVERGED.state is RunState.FINISHED
    assert {status for status in Status if status.is_method_failure} == {Status.LINE_SEARCH_FAILED, Status.STALLED}


def test_examples():
    assert doctest.testmod(options).failed == 0
