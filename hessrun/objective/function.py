"""Any torch function of a vector as an objective."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from hessrun.errors import ObjectiveError, OptionError
from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.counts import Counter
from hessrun.objective.products import GradientGraph, GraphCurvature

Function = Callable[[Tensor], Tensor]


class FunctionObjective(Objective):
    """f given as a torch function of a vector; it has one 'example', so that a pass is a call."""

    def __init__(self, function: Function, dim: int, dtype: torch.dtype, device: torch.device) -> None:
        self._function = function
        self.dim, self.dtype, self.device = dim, dtype, device
        self.n_examples = self.n_batch = 1
        self.counter = Counter(1)

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        if not gradient:
            with torch.no_grad():
                return Evaluation(x, _scalar(self._function(x), x), None)
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            value = _scalar(self._function(leaf), x)
        if not value.requires_grad:
            return _without_graph(x, value)
        (slope,) = torch.autograd.grad(value, leaf, allow_unused=True)
        if slope is None:
            return _without_graph(x, value)
        # The gradient of a sum is one number expanded to [n]: make it a vector like any other.
        return Evaluation(x, value.detach(), slope.contiguous())

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        leaf = x.detach().clone().requires_grad_()

        def graphs() -> Iterator[GradientGraph]:
            with torch.enable_grad():
                yield GradientGraph(_scalar(self._function(leaf), leaf), [leaf])

        return GraphCurvature(self, graphs, lambda v: [v])


def _scalar(value: object, like: Tensor) -> Tensor:
    """The value where it is one real number; one of Python's as a constant like x."""
    if isinstance(value, float | int):
        return torch.full((), float(value), dtype=like.dtype, device=like.device)
    if not isinstance(value, Tensor):
        raise ObjectiveError(f"The function must return a torch scalar; it returned {type(value).__name__}.")
    if value.ndim != 0:
        raise ObjectiveError(f"The function must return a scalar; it returned the shape {list(value.shape)}.")
    if value.is_complex():
        raise ObjectiveError(f"The function must return a real number; it returned one of {value.dtype}.")
    return value


def _without_graph(x: Tensor, value: Tensor) -> Evaluation:
    """f where it is a constant: a function may guard its domain by one that is not finite, a rejected trial."""
    value = value.detach().to(x)
    if bool(value.isfinite()):
        raise ObjectiveError(
            f"The function's value {float(value):g} has no graph from x, as it had at x0: compute it from x with torch "
            "operations; outside its domain it may be a constant inf or nan."
        )
    return Evaluation(x, value, torch.full_like(x, torch.nan))


def as_objective(function: Function, x0: Tensor) -> FunctionObjective:
    """An objective from a torch function of a vector, checked once at x0 [n].

        >>> import torch
        >>> f = as_objective(lambda x: (x * x).sum(), torch.tensor([3.0, 4.0]))
        >>> f.evaluate(torch.tensor([3.0, 4.0])).gradient
        tensor([6., 8.])

    Raises OptionError where x0 is no non-empty vector of floating-point numbers; ObjectiveError where the function
    returns no scalar, has no graph, or gives different values at the same x.
    """
    require_start(x0)
    leaf = x0.detach().clone().requires_grad_()
    with torch.enable_grad():
        first, second = function(leaf), function(leaf)
    _check(first, second, leaf)
    return FunctionObjective(function, x0.numel(), x0.dtype, x0.device)


def require_start(x0: object) -> None:
    """Raise OptionError where x0 is no non-empty vector of floating-point numbers."""
    if not isinstance(x0, Tensor):
        raise OptionError(f"x0 must be a torch.Tensor [n]; got {type(x0).__name__}.")
    if x0.ndim != 1 or x0.numel() == 0:
        raise OptionError(f"x0 must be a non-empty vector [n]; got the shape {list(x0.shape)}.")
    if not x0.is_floating_point():
        raise OptionError(f"x0 must hold floating-point numbers (torch.float64, say); got {x0.dtype}.")


def _check(first: object, second: object, leaf: Tensor) -> None:
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        raise ObjectiveError(f"The function must return a torch scalar; it returned {type(first).__name__}.")
    _scalar(first, leaf)
    if not first.requires_grad:
        raise ObjectiveError(
            "The function's value has no graph: compute it from x with torch operations, not detached."
        )
    if torch.autograd.grad(first, leaf, allow_unused=True)[0] is None:
        raise ObjectiveError("The function's value does not depend on x: its gradient is undefined.")
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ObjectiveError("The function gave two values at the same x: fix its randomness (seed, dropout, batches).")
