"""Analytic functions with a known minimum, as objectives of a vector."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.objective.function import FunctionObjective, as_objective
from hessrun.options import choice, integer


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
    Q, R = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64, device="cpu"))
    Q = Q * R.diagonal().sign()
    minimiser = torch.randn(n, generator=generator, dtype=torch.float64, device="cpu")
    A = ((Q * eigenvalues) @ Q.T).to(device=device, dtype=dtype)
    centre = minimiser.to(device=device, dtype=dtype)

    def f(x: Tensor) -> Tensor:
        offset = x - centre
        return 0.5 * torch.dot(offset, A @ offset)

    x0 = torch.zeros(n, dtype=dtype, device=device)
    return AnalyticFunction(as_objective(f, x0), x0, centre, 0.0)
