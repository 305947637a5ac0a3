"""Analytic functions with a known minimum, as objectives of a vector."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.random import normal
from hessrun.objective.function import FunctionObjective, as_objective
from hessrun.options import choice, integer, positive


@dataclass(frozen=True)
class AnalyticFunction:
    """An objective with its standard start x0 [n], a minimiser [n] and the value there."""

    objective: FunctionObjective
    x0: Tensor
    minimiser: Tensor
    minimum: float


def rosenbrock(
    n: int = 2, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> AnalyticFunction:
    """The extended Rosenbrock function, f(x) = sum_i 100 (x_2i - x_(2i-1)^2)^2 + (1 - x_(2i-1))^2.

    n: even, 2 or above. It starts at (-1.2, 1, ...), its minimum is 0 at (1, ..., 1).
    Source: Moré, Garbow and Hillstrom (1981), problem 21.

        >>> f = rosenbrock()
        >>> round(f.objective.evaluate(f.x0).value.item(), 6)
        24.2
    """
    integer("n", n, minimum=2)
    if n % 2:
        raise OptionError(f"n={n}: the extended Rosenbrock function takes an even number of variables.")

    def f(x: Tensor) -> Tensor:
        odd, even = x[0::2], x[1::2]
        return (100 * (even - odd**2) ** 2 + (1 - odd) ** 2).sum()

    x0 = torch.tensor([-1.2, 1.0], dtype=dtype, device=device).repeat(n // 2)
    return AnalyticFunction(as_objective(f, x0), x0, torch.ones_like(x0), 0.0)


def quadratic(
    n: int = 50,
    *,
    condition_number: float = 1e3,
    spacing: str = "logarithmic",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> AnalyticFunction:
    """A convex quadratic with a chosen spectrum, f(x) = 1/2 (x - x*)' A (x - x*), A = Q diag(lambda) Q'.

    n: 1 or above. condition_number: lambda_max / lambda_min, 1 or above; lambda_max is 1.
    spacing: `logarithmic` or `linear` eigenvalues between the two ends.
    seed: of the random orthogonal Q (Haar; Mezzadri, 2007) and of the minimiser x*, standard normal. It starts at 0.

        >>> f = quadratic(3, condition_number=100.0)
        >>> [round(v, 6) for v in torch.linalg.eigvalsh(f.objective.hessian(f.x0)).tolist()]
        [0.01, 0.1, 1.0]
    """
    integer("n", n, minimum=1)
    integer("seed", seed, minimum=0)
    choice("spacing", spacing, ("logarithmic", "linear"))
    if not (isinstance(condition_number, int | float) and math.isfinite(condition_number) and condition_number >= 1):
        raise OptionError(f"condition_number={condition_number!r}: must be a finite number, 1 or above")
    generator = torch.Generator().manual_seed(seed)
    smallest = 1.0 / condition_number
    if spacing == "linear":
        eigenvalues = torch.linspace(smallest, 1.0, n, dtype=torch.float64, device="cpu")
    else:
        eigenvalues = torch.logspace(math.log10(smallest), 0.0, n, dtype=torch.float64, device="cpu")
    Q, R = torch.linalg.qr(normal(n, n, generator=generator))
    Q = Q * R.diagonal().sign()
    minimiser = normal(n, generator=generator)
    return _quadratic((Q * eigenvalues) @ Q.T, minimiser, dtype, device)


def chain(
    n: int = 1000,
    *,
    anchor: float = 1e-4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> AnalyticFunction:
    """A convex chain of neighbours, f(x) = sum_i log cosh(z_i - z_(i+1)) + anchor/2 |z|^2 with z = x - x*.

    Its value, gradient and Hessian-vector product take O(n) time, so that what a method adds to them can be measured;
    the Hessian is tridiagonal, with eigenvalues in [anchor, 4 + anchor].
    n: 2 or above. anchor: above 0. seed: of the minimiser x*, standard normal; the minimum is 0. It starts at 0.

        >>> f = chain(3, anchor=1.0)
        >>> f.objective.hessian(f.minimiser).tolist()
        [[2.0, -1.0, 0.0], [-1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]
    """
    integer("n", n, minimum=2)
    integer("seed", seed, minimum=0)
    positive("anchor", anchor)
    centre = normal(n, generator=torch.Generator().manual_seed(seed)).to(device=device, dtype=dtype)

    def f(x: Tensor) -> Tensor:
        z = x - centre
        gap = z[1:] - z[:-1]
        # log cosh t = log(1 + exp(2 t)) - t - log 2; torch's softplus is exact to rounding up to this threshold.
        links = torch.nn.functional.softplus(2 * gap, threshold=40) - gap - math.log(2)
        return links.sum() + 0.5 * anchor * torch.dot(z, z)

    x0 = torch.zeros_like(centre)
    return AnalyticFunction(as_objective(f, x0), x0, centre, 0.0)


def spiked_wishart(
    n: int = 1000,
    *,
    spikes: Sequence[float] = (5.0, 4.0, 3.0),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> AnalyticFunction:
    """A convex quadratic whose Hessian is a Wishart matrix with spikes, f(x) = 1/2 (x - x*)' A (x - x*).

    A = diag(t_1, .., t_k, 0, ..) + Z Z' / n, Z [n, n] standard normal. As n grows, the eigenvalues of Z Z' / n fill
    [0, 4] (Marchenko and Pastur, 1967), and each spike t > 2 puts one eigenvalue at t^2 / (t - 1), outside of them.
    n: 1 or above. spikes: t_1 .. t_k, at most n of them, 0 or above; one of 2 or below stays hidden in the bulk.
    seed: of Z and of the minimiser x*, standard normal. It starts at 0.
    Source: Benaych-Georges and Nadakuditi (2011), Theorem 2.1, with the Cauchy transform of the Marchenko-Pastur law;
    the transition was found by Baik, Ben Arous and Péché (2005).
    """
    integer("n", n, minimum=1)
    integer("seed", seed, minimum=0)
    if isinstance(spikes, str) or not isinstance(spikes, Sequence) or len(spikes) > n:
        raise OptionError(f"spikes={spikes!r}: must be a list of at most n={n} numbers, 0 or above")
    for spike in spikes:
        if isinstance(spike, bool) or not isinstance(spike, int | float) or not 0 <= spike < math.inf:
            raise OptionError(f"spikes={list(spikes)!r}: {spike!r} is no finite number, 0 or above")
    generator = torch.Generator().manual_seed(seed)
    Z = normal(n, n, generator=generator)
    minimiser = normal(n, generator=generator)
    A = Z @ Z.T / n
    A.diagonal()[: len(spikes)] += torch.tensor([float(t) for t in spikes], dtype=torch.float64, device="cpu")
    return _quadratic(A, minimiser, dtype, device)


def _quadratic(A: Tensor, minimiser: Tensor, dtype: torch.dtype, device: torch.device | str) -> AnalyticFunction:
    """1/2 (x - minimiser)' A (x - minimiser), which starts at 0."""
    A, centre = A.to(device=device, dtype=dtype), minimiser.to(device=device, dtype=dtype)

    def f(x: Tensor) -> Tensor:
        offset = x - centre
        return 0.5 * torch.dot(offset, A @ offset)

    x0 = torch.zeros_like(centre)
    return AnalyticFunction(as_objective(f, x0), x0, centre, 0.0)
