"""The conditions that a line search promises, on Moré and Thuente's (1994) functions and off the domain."""

import math

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.linesearch import Armijo, StrongWolfe
from hessrun.objective import as_objective
from hessrun.status import Status


def first(t):
    return -t / (t * t + 2)


def second(t):
    return (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4


def third(t, beta=0.01, waves=39):
    bend = torch.where(t <= 1 - beta, 1 - t, torch.where(t >= 1 + beta, t - 1, (t - 1) ** 2 / (2 * beta) + beta / 2))
    return bend + 2 * (1 - beta) / (waves * math.pi) * torch.sin(waves * math.pi / 2 * t)


def yanai(beta1, beta2):
    gamma1, gamma2 = (math.sqrt(1 + b * b) - b for b in (beta1, beta2))
    return lambda t: gamma1 * torch.sqrt((1 - t) ** 2 + beta2**2) + gamma2 * torch.sqrt(t**2 + beta1**2)


MORE_THUENTE = {
    "1": (first, 1e-3, 0.1),
    "2": (second, 0.1, 0.1),
    "3": (third, 0.1, 0.1),
    "4": (yanai(1e-3, 1e-3), 1e-3, 1e-3),
    "5": (yanai(1e-2, 1e-3), 1e-3, 1e-3),
    "6": (yanai(1e-3, 1e-2), 1e-3, 1e-3),
}


def on_a_line(phi, dtype=torch.float64):
    x0 = torch.zeros(1, dtype=dtype)
    f = as_objective(lambda x: phi(x[0]), x0)
    return f, f.evaluate(x0), torch.ones(1, dtype=dtype)


@pytest.mark.parametrize("t0", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("name", MORE_THUENTE)
@pytest.mark.parametrize("default", [True, False])
def test_strong_wolfe_on_more_and_thuente(name, t0, default):
    phi, c1, c2 = MORE_THUENTE[name]
    if default or not c1 < c2:
        c1, c2 = 1e-4, (0.9 if default else 1e-2)
    f, start, d = on_a_line(phi)
    found = StrongWolfe(c1=c1, c2=c2).search(f, start, d, t0)
    assert found.failure is None
    slope = float(start.gradient @ d)
    assert float(found.accepted.value) <= float(start.value) + c1 * found.step * slope
    assert abs(float(found.accepted.gradient @ d)) <= c2 * abs(slope)
    assert found.accepted.x.item() == found.step
    assert found.evaluations == f.counts.gradients - 1


@pytest.mark.parametrize("t0", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("name", MORE_THUENTE)
def test_strong_wolfe_in_single_precision(name, t0):
    """Function 2 from 1e3 is the exception: its slope at 0 is 1e-7, and what is left at its minimiser is rounding."""
    f, start, d = on_a_line(MORE_THUENTE[name][0], torch.float32)
    found = StrongWolfe().search(f, start, d, t0)
    slope, level = float(start.gradient @ d), 32 * torch.finfo(torch.float32).eps * abs(float(start.value))
    assert float(found.accepted.value) <= float(start.value) + 1e-4 * found.step * slope + level
    if (name, t0) == ("2", 1e3):
        assert found.step == pytest.approx(1.596, abs=1e-3)
    else:
        assert found.failure is None
        assert abs(float(found.accepted.gradient @ d)) <= 0.9 * abs(slope)


@pytest.mark.parametrize("t0", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("name", MORE_THUENTE)
def test_armijo(name, t0):
    f, start, d = on_a_line(MORE_THUENTE[name][0])
    found = Armijo().search(f, start, d, t0)
    assert found.failure is None
    assert float(found.accepted.value) <= float(start.value) + 1e-4 * found.step * float(start.gradient @ d)
    assert found.evaluations == f.counts.gradients - 1


@pytest.mark.parametrize("search", [StrongWolfe(), Armijo()])
@pytest.mark.parametrize("t0", [1e-3, 1.0, 1e3, 1e6])
def test_trials_outside_the_domain_are_shortened(search, t0):
    f, start, d = on_a_line(lambda t: -torch.log(0.5 - t) - 4 * t)
    found = search.search(f, start, d, t0)
    assert found.failure is None
    assert found.accepted.is_finite()
    assert found.accepted.value < start.value


@pytest.mark.parametrize("search", [StrongWolfe(), Armijo()])
def test_failures_hand_back_the_start_or_the_best_trial(search):
    f, start, d = on_a_line(lambda t: t * t + t)
    uphill = search.search(f, start, d, 1.0)
    assert (uphill.failure, uphill.step, uphill.evaluations) == (Status.LINE_SEARCH_FAILED, 0.0, 0)
    assert uphill.accepted is start
    # Finite at the start alone.
    f, start, d = on_a_line(lambda t: torch.where(t == 0, -t, t / 0.0))
    assert search.search(f, start, d, 1.0).accepted is start
    # Unbounded below: no trial satisfies the curvature condition, and the best one is handed back.
    f, start, d = on_a_line(lambda t: -t)
    if isinstance(search, StrongWolfe):
        found = search.search(f, start, d, 1.0)
        assert found.failure is Status.LINE_SEARCH_FAILED
        assert found.accepted.value == -found.step < 0


def test_at_the_noise_floor_of_float32_slopes_decide():
    # 1 + (t - 1)^2 1e-9 is level in float32, its slope is not.
    f, start, d = on_a_line(lambda t: 1 + 1e-9 * (t - 1) ** 2, torch.float32)
    assert start.value == 1
    found = StrongWolfe().search(f, start, d, 1.0)
    assert found.failure is None
    assert found.step == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: StrongWolfe(c1=0.5),
        lambda: StrongWolfe(c2=1.0),
        lambda: StrongWolfe(c1=0.2, c2=0.1),
        lambda: StrongWolfe(max_evaluations=0),
        lambda: Armijo(c1=0.0),
        lambda: Armijo(max_evaluations=2.5),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(OptionError):
        make()
