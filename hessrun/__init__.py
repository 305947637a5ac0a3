"""hessrun: do Hessian methods train this network faster than gradient descent, and what does the curvature look like?

The library's names are imported when they are used, so that the command's help and the report need no torch.

    >>> import torch, hessrun
    >>> rosenbrock = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    >>> found = hessrun.minimize(
    ...     rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64), optimizer=hessrun.optimizers.BFGS()
    ... )
    >>> found.status.value
    'converged'
    >>> [round(v, 4) for v in found.x.tolist()]
    [1.0, 1.0]
"""

import importlib
from typing import TYPE_CHECKING, Any

from hessrun.version import __version__

if TYPE_CHECKING:
    from hessrun import curvature, optimizers, record
    from hessrun.objective import EmpiricalRisk, as_objective
    from hessrun.optimizers.as_torch import as_torch_optimizer
    from hessrun.run import Budget, Probe, Result
    from hessrun.run.minimize import minimize

__all__ = [
    "Budget",
    "EmpiricalRisk",
    "Probe",
    "Result",
    "__version__",
    "as_objective",
    "as_torch_optimizer",
    "curvature",
    "minimize",
    "optimizers",
    "record",
]

_HOMES = {
    "Budget": "run",
    "Probe": "run",
    "Result": "run",
    "minimize": "run",
    "EmpiricalRisk": "objective",
    "as_objective": "objective",
    "as_torch_optimizer": "optimizers.as_torch",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hessrun.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"hessrun.{name}")
    raise AttributeError(f"module 'hessrun' has no attribute '{name}'")
