"""The Moré-Garbow-Hillstrom problems against their formulas as scalar loops, finite differences and SciPy."""

import math
import re

import numpy as np
import pytest
import scipy.optimize
import torch

from hessrun.errors import OptionError
from hessrun.objective.more_garbow_hillstrom import NAMES, more_garbow_hillstrom

exp, sqrt = math.exp, math.sqrt


def helical_valley(x):
    """Problem 7."""
    a, b, c = x
    theta = math.atan(b / a) / (2 * math.pi) + (0.5 if a < 0 else 0.0)
    return [10 * (c - 10 * theta), 10 * (sqrt(a**2 + b**2) - 1), c]


def biggs_exp6(x):
    """Problem 18."""
    r = []
    for i in range(1, 14):
        t = i / 10
        y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
        r.append(x[2] * exp(-t * x[0]) - x[3] * exp(-t * x[1]) + x[5] * exp(-t * x[4]) - y)
    return r


def gaussian(x):
    """Problem 9."""
    y = {8: 0.3989, 7: 0.3521, 6: 0.2420, 5: 0.1295, 4: 0.0540, 3: 0.0175, 2: 0.0044, 1: 0.0009}
    return [x[0] * exp(-x[1] * ((8 - i) / 2 - x[2]) ** 2 / 2) - (y[i] if i in y else y[16 - i]) for i in range(1, 16)]


def powell_badly_scaled(x):
    """Problem 3."""
    return [1e4 * x[0] * x[1] - 1, exp(-x[0]) + exp(-x[1]) - 1.0001]


def box(x):
    """Problem 12."""
    r = []
    for i in range(1, 11):
        t = 0.1 * i
        r.append(exp(-t * x[0]) - exp(-t * x[1]) - x[2] * (exp(-t) - exp(-10 * t)))
    return r


def variably_dimensioned(x):
    """Problem 25."""
    weighted = sum(j * (x[j - 1] - 1) for j in range(1, len(x) + 1))
    return [value - 1 for value in x] + [weighted, weighted**2]


def watson(x):
    """Problem 20."""
    n, r = len(x), []
    for i in range(1, 30):
        t = i / 29
        slope = sum((j - 1) * x[j - 1] * t ** (j - 2) for j in range(2, n + 1))
        value = sum(x[j - 1] * t ** (j - 1) for j in range(1, n + 1))
        r.append(slope - value**2 - 1)
    return [*r, x[0], x[1] - x[0] ** 2 - 1]


def penalty_1(x):
    """Problem 23."""
    return [sqrt(1e-5) * (value - 1) for value in x] + [sum(value**2 for value in x) - 0.25]


def penalty_2(x):
    """Problem 24."""
    n, r = len(x), [x[0] - 0.2]
    for i in range(2, n + 1):
        y = exp(i / 10) + exp((i - 1) / 10)
        r.append(sqrt(1e-5) * (exp(x[i - 1] / 10) + exp(x[i - 2] / 10) - y))
    r += [sqrt(1e-5) * (exp(x[i - n] / 10) - exp(-1 / 10)) for i in range(n + 1, 2 * n)]
    return [*r, sum((n - j + 1) * x[j - 1] ** 2 for j in range(1, n + 1)) - 1]


def brown_badly_scaled(x):
    """Problem 4."""
    return [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2]


def brown_and_dennis(x):
    """Problem 16."""
    r = []
    for i in range(1, 21):
        t = i / 5
        r.append((x[0] + t * x[1] - exp(t)) ** 2 + (x[2] + x[3] * math.sin(t) - math.cos(t)) ** 2)
    return r


def gulf(x):
    """Problem 11, m = 99."""
    r = []
    for i in range(1, 100):
        t = i / 100
        y = 25 + (-50 * math.log(t)) ** (2 / 3)
        r.append(exp(-(abs(y - x[1]) ** x[2]) / x[0]) - t)
    return r


def trigonometric(x):
    """Problem 26."""
    n = len(x)
    total = sum(math.cos(value) for value in x)
    return [n - total + i * (1 - math.cos(x[i - 1])) - math.sin(x[i - 1]) for i in range(1, n + 1)]


def rosenbrock(x):
    """Problem 21."""
    r = []
    for i in range(0, len(x), 2):
        r += [10 * (x[i + 1] - x[i] ** 2), 1 - x[i]]
    return r


def powell_singular(x):
    """Problem 22."""
    r = []
    for i in range(0, len(x), 4):
        a, b, c, d = x[i : i + 4]
        r += [a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2]
    return r


def beale(x):
    """Problem 5."""
    return [y - x[0] * (1 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))]


def wood(x):
    """Problem 14."""
    a, b, c, d = x
    return [
        10 * (b - a**2),
        1 - a,
        sqrt(90) * (d - c**2),
        1 - c,
        sqrt(10) * (b + d - 2),
        (b - d) / sqrt(10),
    ]


def chebyquad(x):
    """Problem 35, the shifted Chebyshev polynomials by their cosines."""
    r, n = [], len(x)
    for i in range(1, n + 1):
        mean = 0.0
        for value in x:
            u = 2 * value - 1
            mean += (math.cos(i * math.acos(u)) if abs(u) <= 1 else np.polynomial.Chebyshev.basis(i)(u)) / n
        r.append(mean - (0.0 if i % 2 else -1 / (i**2 - 1)))
    return r


LOOPS = {name: globals()[re.sub(r"_\d+$", "", name)] for name in NAMES}
# Problem, variables, f at the standard start by hand where that is short, minima in the six digits that are published.
FACTS = {
    "helical_valley": (3, 2500.0, (0.0,)),
    "biggs_exp6": (6, None, (0.0, 5.65565e-3)),
    "gaussian": (3, None, (1.12793e-8,)),
    "powell_badly_scaled": (2, 1 + (exp(-1) - 1e-4) ** 2, (0.0,)),
    "box": (3, None, (0.0,)),
    "variably_dimensioned": (10, 3.85 + 38.5**2 + 38.5**4, (0.0,)),
    "watson_6": (6, 30.0, (2.28767e-3,)),
    "watson_9": (9, 30.0, (1.39976e-6,)),
    "penalty_1_4": (4, 1e-5 * 14 + 29.75**2, (2.24997e-5,)),
    "penalty_1_10": (10, 1e-5 * 285 + 384.75**2, (7.08765e-5,)),
    "penalty_2_4": (4, None, (9.37629e-6,)),
    "penalty_2_10": (10, None, (2.93660e-4,)),
    "brown_badly_scaled": (2, (1 - 1e6) ** 2 + (1 - 2e-6) ** 2 + 1, (0.0,)),
    "brown_and_dennis": (4, None, (85822.2,)),
    "gulf": (3, None, (0.0,)),
    "trigonometric": (10, None, (0.0, 2.79506e-5)),
    "rosenbrock": (10, 5 * 24.2, (0.0,)),
    "powell_singular": (12, 3 * 215.0, (0.0,)),
    "beale": (2, 1.5**2 + 2.25**2 + 2.625**2, (0.0,)),
    "wood": (4, 19192.0, (0.0,)),
    "chebyquad_7": (7, None, (0.0,)),
    "chebyquad_8": (8, None, (3.51687e-3,)),
    "chebyquad_9": (9, None, (0.0,)),
    "chebyquad_10": (10, None, (4.77271e-3, 6.50395e-3)),
}
ROOTS = {
    "helical_valley": [1, 0, 0],
    "biggs_exp6": [1, 10, 1, 5, 4, 3],
    "box": [1, 10, 1],
    "variably_dimensioned": [1] * 10,
    "brown_badly_scaled": [1e6, 2e-6],
    "gulf": [50, 25, 1.5],
    "trigonometric": [0] * 10,
    "rosenbrock": [1] * 10,
    "powell_singular": [0] * 12,
    "beale": [3, 0.5],
    "wood": [1] * 4,
}
# SciPy's Levenberg-Marquardt goes elsewhere, or nowhere, from the standard start: near these points lie the minima.
NEARBY = {
    ("chebyquad_10", 4.77271e-3): [0.07, 0.17, 0.29, 0.36, 0.47, 0.62, 0.62, 0.80, 0.84, 0.97],
    ("powell_badly_scaled", 0.0): [1.098e-5, 9.106],
    ("trigonometric", 0.0): [0.01] * 10,
}


def points(made):
    """The start and five random points within its neighbourhood, of numbers that are not round."""
    generator = np.random.default_rng(len(made.name))
    start = made.x0.numpy()
    return [start, *(start + (0.3 * abs(start) + 0.1) * generator.uniform(-1, 1, len(start)) for _ in range(5))]


def test_the_list_is_the_published_one():
    assert tuple(FACTS) == NAMES
    assert len({loop.__doc__ for loop in LOOPS.values()}) == 18


@pytest.mark.parametrize("name", NAMES)
def test_residuals_and_value_equal_the_scalar_loops(name):
    made = more_garbow_hillstrom(name)
    for x in points(made):
        expected = LOOPS[name](x.tolist())
        residuals = made.residuals(torch.tensor(x))
        # A residual is a difference of terms as large as the largest of them.
        scale = max(1.0, *map(abs, expected))
        assert sorted(residuals.tolist()) == pytest.approx(sorted(expected), rel=1e-12, abs=1e-13 * scale)
        value = made.objective.evaluate(torch.tensor(x)).value.item()
        assert value == pytest.approx(math.fsum(r * r for r in expected), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_start_and_minima_are_the_published_ones(name):
    made = more_garbow_hillstrom(name)
    n, start, minima = FACTS[name]
    assert made.objective.dim == n
    assert start is None or made.objective.evaluate(made.x0).value.item() == pytest.approx(start, rel=1e-13)
    # Some are rounded to six digits, some are cut.
    assert made.minima == pytest.approx(minima, rel=1e-5, abs=0)
    assert made.minimum == min(made.minima)


@pytest.mark.parametrize("name", ROOTS)
def test_residuals_vanish_at_the_published_roots(name):
    made = more_garbow_hillstrom(name)
    x = torch.tensor(ROOTS[name], dtype=torch.float64)
    assert made.objective.evaluate(x).value.item() <= 1e-25


def test_the_second_value_of_biggs_exp6_belongs_to_its_symmetric_half():
    """x_1 = x_5 and x_3 = x_6 hold at the start, and so along every path of gradients; its least value is a saddle."""
    made = more_garbow_hillstrom("biggs_exp6")
    a, b, c, d = scipy.optimize.least_squares(
        lambda z: made.residuals(torch.tensor([z[0], z[1], z[2], z[3], z[0], z[2]])).numpy(), [1.0, 2.0, 1.0, 1.0]
    ).x
    x = torch.tensor([a, b, c, d, a, c])
    assert made.objective.evaluate(x).value.item() == pytest.approx(made.minima[1], rel=1e-9)
    assert torch.linalg.eigvalsh(made.objective.hessian(x))[0] < -1e-3


PUBLISHED = [(name, m) for name in NAMES for m in FACTS[name][2] if (name, m) != ("biggs_exp6", 5.65565e-3)]


@pytest.mark.parametrize(("name", "published"), PUBLISHED)
def test_scipy_finds_the_published_minima(name, published):
    made = more_garbow_hillstrom(name)
    start = np.array(NEARBY.get((name, published), made.x0.tolist()), dtype=float)
    if name == "powell_singular":
        start = np.zeros(12)  # a double root, to which no method converges faster than linearly
    found = scipy.optimize.least_squares(
        lambda x: made.residuals(torch.tensor(x)).numpy(),
        start,
        jac=lambda x: torch.autograd.functional.jacobian(made.residuals, torch.tensor(x)).numpy(),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=2000,
    )
    full = next(m for m in made.minima if m == pytest.approx(published, rel=1e-5, abs=0))
    assert 2 * found.cost == pytest.approx(full, rel=1e-9, abs=1e-20)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_differences(name):
    made = more_garbow_hillstrom(name)
    for x in points(made)[1:]:
        gradient = made.objective.evaluate(torch.tensor(x)).gradient.numpy()
        for i in range(len(x)):
            h = 1e-4 * max(abs(x[i]), 1.0)
            f = [
                math.fsum(r * r for r in LOOPS[name]((x + k * h * np.eye(len(x))[i]).tolist())) for k in (-2, -1, 1, 2)
            ]
            difference = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)  # of fourth order
            rounding = 1e-14 * max(map(abs, f)) / h
            assert gradient[i] == pytest.approx(difference, rel=1e-6, abs=10 * rounding)


def test_helical_valley_is_cut_along_the_negative_second_axis():
    residuals = more_garbow_hillstrom("helical_valley").residuals
    for degrees in (-89.9, -30, 0, 60, 90.1, 150, 180, 210, 269.9):
        angle = math.radians(degrees)
        point = torch.tensor([2 * math.cos(angle), 2 * math.sin(angle), 0.0], dtype=torch.float64)
        expected = torch.tensor([-100 * degrees / 360, 10.0, 0.0], dtype=torch.float64)
        assert torch.allclose(residuals(point), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_factor_multiplies_the_start_and_float32_is_carried_through(name):
    made = more_garbow_hillstrom(name)
    far = more_garbow_hillstrom(name, start_factor=10, dtype=torch.float32)
    expected = torch.full_like(made.x0, 10) if name.startswith("watson") else 10 * made.x0
    assert far.x0.dtype == far.residuals(far.x0).dtype == torch.float32
    assert torch.equal(far.x0, expected.float())
    near = more_garbow_hillstrom(name, dtype=torch.float32)
    value = near.objective.evaluate(near.x0).value.item()
    assert value == pytest.approx(made.objective.evaluate(made.x0).value.item(), rel=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "rosenbrok"}, r"name='rosenbrok': must be one of helical_valley, .* Did you mean 'rosenbrock'\?"),
        ({"name": 3}, "name=3: must be one of"),
        ({"name": "wood", "start_factor": 0}, "start_factor=0: must be a finite number above 0"),
        ({"name": "wood", "start_factor": "far"}, "start_factor='far'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        more_garbow_hillstrom(**options)
