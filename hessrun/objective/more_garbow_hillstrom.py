"""The eighteen unconstrained problems of Moré, Garbow and Hillstrom, as sums of squares of residuals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.objective.function import FunctionObjective, as_objective
from hessrun.options import choice, positive

Residuals = Callable[[Tensor], Tensor]
# Makes a vector of numbers in the dtype and on the device of the problem.
Vector = Callable[[Sequence[float]], Tensor]


@dataclass(frozen=True)
class SumOfSquares:
    """f(x) = sum_i r_i(x)^2, a test problem with its published minima.

    name: one of NAMES; objective: f; residuals: x [n] -> r [m]; x0: the start [n]; minima: the values of f at the local
    minima that the source publishes, here to full precision.
    """

    name: str
    objective: FunctionObjective
    residuals: Residuals
    x0: Tensor
    minima: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """The least published value."""
        return min(self.minima)


@dataclass(frozen=True)
class _Problem:
    """residuals: from a maker of vectors; start: the standard x0; minima: published values of f."""

    residuals: Callable[[Vector], Residuals]
    start: Sequence[float]
    minima: tuple[float, ...] = (0.0,)


def more_garbow_hillstrom(
    name: str,
    *,
    start_factor: float = 1.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> SumOfSquares:
    """One of the unconstrained test problems, f(x) = sum_i r_i(x)^2.

    name: one of NAMES; a number at its end is the number of variables.
    start_factor: above 0; it starts at start_factor times the standard start. Where that is zero (Watson), a factor
    other than 1 starts at (start_factor, ..., start_factor), as in the authors' software.
    Raises OptionError for a name that is not in the list or a factor out of range.
    Source: Moré, Garbow and Hillstrom (1981), section 3; its "Gulf" with |y_i - x_2| as in the software.

        >>> f = more_garbow_hillstrom("wood")
        >>> f.objective.evaluate(f.x0).value.item()
        19192.0
    """
    choice("name", name, NAMES)
    positive("start_factor", start_factor)
    problem = _PROBLEMS[name]

    def vector(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    residuals = problem.residuals(vector)

    def f(x: Tensor) -> Tensor:
        r = residuals(x)
        return torch.dot(r, r)

    if any(problem.start) or start_factor == 1:
        x0 = vector([start_factor * value for value in problem.start])
    else:
        x0 = vector([start_factor] * len(problem.start))
    return SumOfSquares(name, as_objective(f, x0), residuals, x0, problem.minima)


def _helical_valley(vector: Vector) -> Residuals:
    def residuals(x: Tensor) -> Tensor:
        turn = torch.atan2(x[1], x[0]) / (2 * math.pi)
        turn = turn + (turn < -0.25).to(x.dtype)  # the source cuts the plane along the negative x_2 axis
        return torch.stack([10 * (x[2] - 10 * turn), 10 * (torch.hypot(x[0], x[1]) - 1), x[2]])

    return residuals


def _biggs_exp6(vector: Vector) -> Residuals:
    times = [0.1 * i for i in range(1, 14)]
    t, y = vector(times), vector([math.exp(-t) - 5 * math.exp(-10 * t) + 3 * math.exp(-4 * t) for t in times])
    return lambda x: x[2] * torch.exp(-t * x[0]) - x[3] * torch.exp(-t * x[1]) + x[5] * torch.exp(-t * x[4]) - y


def _gaussian(vector: Vector) -> Residuals:
    half = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
    t, y = vector([(8 - i) / 2 for i in range(1, 16)]), vector([*half, 0.3989, *reversed(half)])
    return lambda x: x[0] * torch.exp(-x[1] * (t - x[2]) ** 2 / 2) - y


def _powell_badly_scaled(vector: Vector) -> Residuals:
    return lambda x: torch.stack([1e4 * x[0] * x[1] - 1, torch.exp(-x[0]) + torch.exp(-x[1]) - 1.0001])


def _box(vector: Vector) -> Residuals:
    times = [0.1 * i for i in range(1, 11)]
    t, w = vector(times), vector([math.exp(-t) - math.exp(-10 * t) for t in times])
    return lambda x: torch.exp(-t * x[0]) - torch.exp(-t * x[1]) - w * x[2]


def _variably_dimensioned(vector: Vector) -> Residuals:
    j = vector(range(1, 11))

    def residuals(x: Tensor) -> Tensor:
        weighted = torch.dot(j, x - 1)
        return torch.cat([x - 1, torch.stack([weighted, weighted**2])])

    return residuals


def _watson(n: int) -> Callable[[Vector], Residuals]:
    def with_vector(vector: Vector) -> Residuals:
        t = [i / 29 for i in range(1, 30)]
        powers = torch.stack([vector([t**j for j in range(n)]) for t in t])
        slopes = torch.stack([vector([j * t ** (j - 1) if j else 0.0 for j in range(n)]) for t in t])

        def residuals(x: Tensor) -> Tensor:
            along = slopes @ x - (powers @ x) ** 2 - 1
            return torch.cat([along, torch.stack([x[0], x[1] - x[0] ** 2 - 1])])

        return residuals

    return with_vector


def _penalty_1(vector: Vector) -> Residuals:
    return lambda x: torch.cat([math.sqrt(1e-5) * (x - 1), (torch.dot(x, x) - 0.25).unsqueeze(0)])


def _penalty_2(n: int) -> Callable[[Vector], Residuals]:
    def with_vector(vector: Vector) -> Residuals:
        y = vector([math.exp(i / 10) + math.exp((i - 1) / 10) for i in range(2, n + 1)])
        weights = vector(range(n, 0, -1))
        root, last = math.sqrt(1e-5), math.exp(-0.1)

        def residuals(x: Tensor) -> Tensor:
            e = torch.exp(x / 10)
            ends = torch.stack([x[0] - 0.2, torch.dot(weights, x * x) - 1])
            return torch.cat([ends[:1], root * (e[1:] + e[:-1] - y), root * (e[1:] - last), ends[1:]])

        return residuals

    return with_vector


def _brown_badly_scaled(vector: Vector) -> Residuals:
    return lambda x: torch.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def _brown_and_dennis(vector: Vector) -> Residuals:
    times = [i / 5 for i in range(1, 21)]
    t, e = vector(times), vector([math.exp(t) for t in times])
    sine, cosine = vector([math.sin(t) for t in times]), vector([math.cos(t) for t in times])
    return lambda x: (x[0] + t * x[1] - e) ** 2 + (x[2] + x[3] * sine - cosine) ** 2


def _gulf(vector: Vector) -> Residuals:
    parts = [i / 100 for i in range(1, 100)]
    t, y = vector(parts), vector([25 + (-50 * math.log(t)) ** (2 / 3) for t in parts])
    return lambda x: torch.exp(-((y - x[1]).abs() ** x[2]) / x[0]) - t


def _trigonometric(vector: Vector) -> Residuals:
    i = vector(range(1, 11))

    def residuals(x: Tensor) -> Tensor:
        cosine = torch.cos(x)
        return 10 - cosine.sum() + i * (1 - cosine) - torch.sin(x)

    return residuals


def _rosenbrock(vector: Vector) -> Residuals:
    return lambda x: torch.cat([10 * (x[1::2] - x[0::2] ** 2), 1 - x[0::2]])


def _powell_singular(vector: Vector) -> Residuals:
    def residuals(x: Tensor) -> Tensor:
        a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
        return torch.cat([a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, math.sqrt(10) * (a - d) ** 2])

    return residuals


def _beale(vector: Vector) -> Residuals:
    y = vector([1.5, 2.25, 2.625])
    return lambda x: y - x[0] * (1 - torch.stack([x[1], x[1] ** 2, x[1] ** 3]))


def _wood(vector: Vector) -> Residuals:
    def residuals(x: Tensor) -> Tensor:
        a, b, c, d = x
        return torch.stack(
            [
                10 * (b - a**2),
                1 - a,
                math.sqrt(90) * (d - c**2),
                1 - c,
                math.sqrt(10) * (b + d - 2),
                (b - d) / math.sqrt(10),
            ]
        )

    return residuals


def _chebyquad(n: int) -> Callable[[Vector], Residuals]:
    def with_vector(vector: Vector) -> Residuals:
        integrals = vector([0.0 if i % 2 else -1 / (i**2 - 1) for i in range(1, n + 1)])

        def residuals(x: Tensor) -> Tensor:
            # T_i is the Chebyshev polynomial shifted to [0, 1]; T_i+1 = 2 (2 x - 1) T_i - T_i-1.
            before, polynomial = torch.ones_like(x), 2 * x - 1
            means = [polynomial.mean()]
            for _ in range(n - 1):
                before, polynomial = polynomial, 2 * (2 * x - 1) * polynomial - before
                means.append(polynomial.mean())
            return torch.stack(means) - integrals

        return residuals

    return with_vector


_PROBLEMS = {
    "helical_valley": _Problem(_helical_valley, (-1, 0, 0)),
    "biggs_exp6": _Problem(_biggs_exp6, (1, 2, 1, 1, 1, 1), (0.0, 5.65564992549994e-3)),
    "gaussian": _Problem(_gaussian, (0.4, 1, 0), (1.12793276961922e-8,)),
    "powell_badly_scaled": _Problem(_powell_badly_scaled, (0, 1)),
    "box": _Problem(_box, (0, 10, 20)),
    "variably_dimensioned": _Problem(_variably_dimensioned, [1 - j / 10 for j in range(1, 11)]),
    "watson_6": _Problem(_watson(6), (0,) * 6, (2.28767005355250e-3,)),
    "watson_9": _Problem(_watson(9), (0,) * 9, (1.39976013809249e-6,)),
    "penalty_1_4": _Problem(_penalty_1, range(1, 5), (2.24997750089994e-5,)),
    "penalty_1_10": _Problem(_penalty_1, range(1, 11), (7.08765146709037e-5,)),
    "penalty_2_4": _Problem(_penalty_2(4), (0.5,) * 4, (9.37629300735544e-6,)),
    "penalty_2_10": _Problem(_penalty_2(10), (0.5,) * 10, (2.93660537456746e-4,)),
    "brown_badly_scaled": _Problem(_brown_badly_scaled, (1, 1)),
    "brown_and_dennis": _Problem(_brown_and_dennis, (25, 5, -5, -1), (85822.2016263563,)),
    "gulf": _Problem(_gulf, (5, 2.5, 0.15)),
    "trigonometric": _Problem(_trigonometric, (0.1,) * 10, (0.0, 2.79505612187894e-5)),
    "rosenbrock": _Problem(_rosenbrock, (-1.2, 1) * 5),
    "powell_singular": _Problem(_powell_singular, (3, -1, 0, 1) * 3),
    "beale": _Problem(_beale, (1, 1)),
    "wood": _Problem(_wood, (-3, -1, -3, -1)),
    "chebyquad_7": _Problem(_chebyquad(7), [j / 8 for j in range(1, 8)]),
    "chebyquad_8": _Problem(_chebyquad(8), [j / 9 for j in range(1, 9)], (3.51687372567793e-3,)),
    "chebyquad_9": _Problem(_chebyquad(9), [j / 10 for j in range(1, 10)]),
    "chebyquad_10": _Problem(
        _chebyquad(10), [j / 11 for j in range(1, 11)], (4.77271369637535e-3, 6.50395480088231e-3)
    ),
}
NAMES = tuple(_PROBLEMS)
