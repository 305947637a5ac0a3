"""The one function that decides a run's status."""

import dataclasses
import math

import pytest

from hessrun.errors import OptionError
from hessrun.run.budget import Budget, Progress, decide
from hessrun.status import Status

START = Progress(
    step=5,
    seconds=1.0,
    passes=10.0,
    loss=1.0,
    gradient_max=0.5,
    first_gradient_max=1.0,
    negative_curvature=False,
    failure=None,
    interrupted=False,
)
BUDGET = Budget(iterations=10, seconds=2.0, passes=20.0, gradient_tolerance=1e-3, target_loss=0.1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"step": 10}, Status.ITERATIONS_SPENT),
        ({"seconds": 2.0}, Status.SECONDS_SPENT),
        ({"passes": 20.0}, Status.EVALUATIONS_SPENT),
        ({"gradient_max": 1e-3}, Status.CONVERGED),
        ({"gradient_max": 1e-3, "negative_curvature": True}, None),
        ({"gradient_max": 0.0, "negative_curvature": None}, None),
        ({"loss": 0.1}, Status.TARGET_REACHED),
        ({"loss": math.nan}, Status.DIVERGED),
        ({"gradient_max": math.inf}, Status.DIVERGED),
        ({"failure": Status.LINE_SEARCH_FAILED}, Status.LINE_SEARCH_FAILED),
        ({"interrupted": True}, Status.INTERRUPTED),
        ({"loss": None, "gradient_max": None}, None),
    ],
)
def test_each_end_has_its_status(change: dict, expected: Status | None) -> None:
    assert decide(BUDGET, dataclasses.replace(START, **change)) is expected


def test_the_gradient_is_measured_against_the_start() -> None:
    scaled = dataclasses.replace(START, gradient_max=1e-3 * 1e-8, first_gradient_max=1e-8)
    assert decide(BUDGET, scaled) is Status.CONVERGED
    absolute = Budget(iterations=10, gradient_target=1e-4)
    assert decide(absolute, dataclasses.replace(START, gradient_max=2e-4)) is None
    assert decide(absolute, dataclasses.replace(START, gradient_max=1e-4)) is Status.CONVERGED


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"iterations": -1},
        {"iterations": 1.5},
        {"iterations": 1, "seconds": 0},
        {"iterations": 1, "gradient_tolerance": ""},
        {"iterations": 1, "target_loss": math.nan},
        {"iterations": 1, "check_every": 0},
    ],
)
def test_limits_outside_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(OptionError):
        Budget(**wrong)
