"""How scipy, torch and torchmin are called: on the same function, all tolerances at 0 so that none stops early."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hessrun.objective import Objective

# The modules that the benchmark imports, and the packages that bring them.
PACKAGES = {"scipy": "scipy", "torchmin": "pytorch-minimize"}
_TORCHMIN_TOLERANCES = {
    "bfgs": {"gtol": 0.0, "xtol": 0.0, "gtd_tol": 0.0},
    "l-bfgs": {"gtol": 0.0, "xtol": 0.0, "gtd_tol": 0.0, "history_size": 10},
    "newton-cg": {"xtol": 0.0},
    "newton-exact": {"xtol": 0.0},
    "trust-ncg": {"gtol": 0.0},
    "trust-krylov": {"gtol": 0.0},
    "trust-exact": {"gtol": 0.0},
}
_SCIPY_TOLERANCES = {"BFGS": {"gtol": 0.0}, "L-BFGS-B": {"gtol": 0.0, "ftol": 0.0, "maxcor": 10}}


@dataclass(frozen=True)
class PeerRun:
    """x: [n], where the peer ended; iterations: outer ones; evaluations: of value and gradient together."""

    x: Tensor
    iterations: int
    evaluations: int


def lbfgs_of_torch(parameters: list[Tensor], iterations: int, memory: int) -> torch.optim.LBFGS:
    """torch.optim.LBFGS that does so many iterations in one call of `step`, whatever it finds on the way."""
    return torch.optim.LBFGS(
        parameters,
        max_iter=iterations,
        max_eval=10**9,
        history_size=memory,
        line_search_fn="strong_wolfe",
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )


def torch_lbfgs(
    objective: Objective,
    x0: Tensor,
    *,
    iterations: int,
    memory: int = 10,
    watch: Callable[[int], None] = lambda iteration: None,
) -> PeerRun:
    """torch.optim.LBFGS with its line search, in one call of `step`; its closure is our own evaluation.

    watch: called before every evaluation with the number of the iteration.
    """
    theta = x0.detach().clone().requires_grad_()
    made = lbfgs_of_torch([theta], iterations, memory)
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        watch(made.state[theta]["n_iter"])
        found = objective.evaluate(theta.detach())
        theta.grad = found.gradient
        return found.value

    made.step(closure)  # type: ignore[no-untyped-call]
    return PeerRun(theta.detach(), made.state[theta]["n_iter"], calls)


def scipy_minimize(method: str, objective: Objective, x0: Tensor, *, iterations: int) -> PeerRun:
    """scipy.optimize.minimize, which computes in float64 on the host."""
    import scipy.optimize

    def value_and_gradient(x: npt.NDArray[Any]) -> tuple[float, npt.NDArray[Any]]:
        found = objective.evaluate(torch.tensor(x, dtype=x0.dtype, device=x0.device))
        return float(found.value), found.gradient.double().cpu().numpy()

    options = {"maxiter": iterations, **_SCIPY_TOLERANCES[method]}
    if method == "L-BFGS-B":
        options["maxfun"] = 10**9
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = scipy.optimize.minimize(
            value_and_gradient, x0.double().cpu().numpy(), jac=True, method=method, options=options
        )
    return PeerRun(torch.tensor(found.x, dtype=x0.dtype, device=x0.device), int(found.nit), int(found.nfev))


def torchmin_minimize(
    method: str,
    function: Callable[[Tensor], Tensor],
    x0: Tensor,
    *,
    iterations: int,
    callback: Callable[[Tensor], None] | None = None,
) -> PeerRun:
    """torchmin.minimize, which differentiates the function by itself.

    callback: given x after every iteration. Raises whatever torchmin raises, RuntimeError mostly.
    """
    options = dict(_TORCHMIN_TOLERANCES[method])  # it writes its other arguments into what it is given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of torch.jit.script
        import torchmin  # type: ignore[import-untyped]

        found = torchmin.minimize(function, x0, method=method, max_iter=iterations, callback=callback, options=options)
    return PeerRun(found.x, int(found.nit), int(found.nfev))
