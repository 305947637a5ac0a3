"""Our methods where torch's optimizers stand: in a plain training loop, `optimizer.step(closure)`.

It imports torch.optim, so it is no part of `hessrun.optimizers` until it is asked for.
"""

import copy
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.objective import Counter, EvaluationCounts, FunctionObjective, Objective
from hessrun.objective.closure import Closure, ClosureObjective, LiveParameters
from hessrun.optimizers.base import Optimizer, State
from hessrun.optimizers.torch_optimizer import TorchOptimizer
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.problem import ProblemFacts
from hessrun.status import Status

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


def as_torch_optimizer(params: Parameters, method: Optimizer[Any]) -> "MethodOptimizer":
    """A `torch.optim.Optimizer` that runs a method of ours: one outer iteration at each `step(closure)`.

    params: tensors, (name, tensor) pairs, or one parameter group, of one floating-point dtype and on one device. Those
    that require no gradient are skipped; the rest is the method's x [n].
    method: any `hessrun.optimizers` method but `TorchOptimizer`, which wraps what is a torch optimizer already, and
    `GaussNewton`, since a closure gives no outputs; its `product_dtype`, if it has one, must be the parameters'. Its
    minibatch, if it takes one, is whatever the closure sees, whatever its `batch_size`; without one it evaluates at
    both ends of a step, since the batch may change in between (SGD: two closure calls a step, one with a `batch_size`).

        >>> import torch
        >>> from hessrun.optimizers import BFGS
        >>> x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        >>> optimizer = as_torch_optimizer([x], BFGS())
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        ...     loss.backward()
        ...     return loss
        >>> for _ in range(60):
        ...     loss = optimizer.step(closure)
        >>> [round(v, 6) for v in x.tolist()]
        [1.0, 1.0]

    Raises OptionError for several groups, options in a group, parameters that appear twice, mixed dtypes or devices,
    and where there is nothing to train.
    """
    return MethodOptimizer(params, method)


class MethodOptimizer(torch.optim.Optimizer):
    """What `as_torch_optimizer` returns.

    method: the method; status: RUNNING, or why the last step failed; counts: gradients and products so far (what a
    linearisation for products calls of the closure is not among them).
    A method's `lr` is its parameter group's `lr`, which torch's schedulers turn; a method that finds its step length
    itself has an `lr` of 1 in its group, which does nothing: a warning says so where a scheduler changes it.
    """

    def __init__(self, params: Parameters, method: Optimizer[Any]) -> None:
        if not isinstance(method, Optimizer):
            raise OptionError(f"method must be one of hessrun.optimizers, such as BFGS(); got {method!r}.")
        if isinstance(method, TorchOptimizer):
            raise OptionError("TorchOptimizer wraps what is a torch optimizer already: give that one the parameters.")
        if getattr(method, "kind", "hessian") != "hessian":
            name = type(method).__name__
            raise OptionError(f"{name} needs the model's outputs, which a closure does not give: use NewtonCG.")
        self.method = method
        self._has_lr = "lr" in {field.name for field in fields(method)}  # type: ignore[arg-type]
        self._state: State | None = None
        self._steps = 0
        self._counter = Counter(1)
        super().__init__(_listed(params), {"lr": float(method.lr) if self._has_lr else 1.0})  # type: ignore[attr-defined]
        self._trains = [p.requires_grad for p in self.param_groups[0]["params"]]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Takes the one group that the optimizer is made with; raises OptionError for another."""
        if self.param_groups:
            raise OptionError(
                "A hessrun method takes one group of parameters, all at the start: it sees them as one vector."
            )
        options = [name for name in param_group if name not in ("params", "param_names")]
        if options:
            raise OptionError(
                f"A hessrun method has no options by group ({', '.join(options)}): set them on the method."
            )
        group = {**param_group, "params": _listed(param_group["params"])}
        _refuse_twice(group["params"])
        try:
            super().add_param_group(group)
        except (TypeError, ValueError) as error:
            raise OptionError(f"params: {' '.join(str(error).split())}") from error
        _refuse_unfit(self.param_groups[0]["params"])

    @property
    def status(self) -> Status:
        """Where it stands (a read from the device): RUNNING, or why the last step failed.

        After a failure the next step begins again from x with an empty memory.
        """
        if self._state is None:
            return Status.RUNNING
        evaluation = self._state.evaluation
        if not (bool(self._state.x.isfinite().all()) if evaluation is None else evaluation.is_finite()):
            return Status.DIVERGED
        return self._state.failure or Status.RUNNING

    @property
    def counts(self) -> EvaluationCounts:
        """Closure calls with a gradient, products and Hessian columns so far; snapshots subtract."""
        return self._counter.snapshot()

    def step(self, closure: Closure | None = None) -> Tensor | None:  # type: ignore[override]
        """One outer iteration; returns the loss of the closure's first call, before the step, as torch's do.

        closure: takes no arguments and returns the loss, either after `loss.backward()` or, which methods that need
        products ask for, with its graph. It is called several times and must use the same batch and the same
        randomness each time. At the next step it may use another batch, and the parameters may have been moved:
        the method's `refresh` evaluates there anew, and its memory is kept.

        Afterwards the parameters hold the accepted x, and their `.grad` the gradient there (for a stochastic method,
        the last that it asked for). Raises OptionError without a closure, and ObjectiveError where the closure's
        loss is no scalar or has no graph that the method needs; whatever the closure raises leaves the parameters where
        they were and the method's memory empty. A step that fails raises nothing: see `status`.
        """
        if closure is None:
            raise OptionError("step() needs a closure that computes the loss and returns it: optimizer.step(closure).")
        at = self._parameters()
        objective = ClosureObjective(closure, at, self._counter)
        problem = _problem(objective, at.read())
        method = self._method_now()
        # A method consumes its state: if the closure raises halfway, what is left of it is not to be used again.
        before, self._state = self._state, None
        try:
            after = method.step(problem, self._begin(method, problem, before))
        except BaseException:
            at.write(problem.x0)
            raise
        self._state, self._steps = after, after.step
        at.write(after.x)
        gradient = objective.last_gradient if after.evaluation is None else after.evaluation.gradient
        if gradient is not None:
            at.set_gradient(gradient)
        return objective.first_value

    def _begin(self, method: Optimizer[Any], problem: AnalyticProblem, before: State | None) -> State:
        """The state at the parameters as they are now, for the function as it is now."""
        if before is None or before.failure is not None:
            state: State = method.init(problem)
            state.step = self._steps
            return state
        if before.x.dtype != problem.x0.dtype or before.x.device != problem.x0.device:
            raise OptionError(
                f"The parameters are {problem.x0.dtype} on {problem.x0.device}, the method's state is {before.x.dtype} "
                f"on {before.x.device}: move the model first, then make the optimizer."
            )
        before.x = problem.x0
        refreshed: State = method.refresh(problem, before)
        return refreshed

    def _parameters(self) -> LiveParameters:
        group = self.param_groups[0]
        if [p.requires_grad for p in group["params"]] != self._trains:
            raise OptionError("Parameters were frozen or unfrozen since the optimizer was made: make another one.")
        names = group.get("param_names", [str(i) for i in range(len(self._trains))])
        trained = [(p, name) for p, name in zip(group["params"], names, strict=True) if p.requires_grad]
        return LiveParameters(*zip(*trained, strict=True))

    def _method_now(self) -> Optimizer[Any]:
        lr = float(self.param_groups[0]["lr"])
        if self._has_lr:
            # A schedule may end at 0, which no method's own rate may be: the least positive number moves nothing.
            return replace(self.method, lr=sys.float_info.min if lr == 0 else lr)  # type: ignore[type-var]
        if lr != 1.0:
            name = type(self.method).__name__
            warnings.warn(f"{name} finds its step length itself: a changed lr does nothing.", stacklevel=4)
        return self.method

    def state_dict(self) -> dict[str, Any]:
        """A copy of what goes on bitwise: torch's own entries, and `method`, a plain dictionary of tensors and numbers.

        It may be saved by `torch.save` and read with `weights_only=True`, on any device.
        """
        state = None if self._state is None else copy.deepcopy(self.method.dump(self._state))
        own = {"name": type(self.method).__name__, "step": self._steps, "state": state}
        return {**super().state_dict(), "method": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` gave, as a copy; raises OptionError where another optimizer or method gave it."""
        saved, name = state_dict.get("method"), type(self.method).__name__
        if not isinstance(saved, Mapping):
            raise OptionError(
                f"This state_dict was saved by another optimizer than a hessrun method; {name} needs its own."
            )
        if saved["name"] != name:
            raise OptionError(f"This state_dict was saved by {saved['name']}; the method here is {name}.")
        state = None if saved["state"] is None else self._restored(saved["state"])
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "method"})
        self._state, self._steps = state, saved["step"]

    def _restored(self, data: Mapping[str, Any]) -> State:
        """The state, each tensor where the method keeps it: `map_location` cannot know what belongs on the host."""
        x = self._parameters().read()
        if data["x"].shape != x.shape or data["x"].dtype != x.dtype:
            raise OptionError(
                f"This state_dict is of {len(data['x'])} numbers of {data['x'].dtype}; here are {len(x)} of {x.dtype}."
            )
        like = self.method.dump(self.method.init(_problem(_blank(x), x)))
        state: State = self.method.load(_placed(copy.deepcopy(data), like, x.device))
        return state

    def __getstate__(self) -> dict[str, Any]:
        own = ("method", "_has_lr", "_state", "_steps", "_counter", "_trains")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}


def _listed(params: Parameters) -> list[Any]:
    if isinstance(params, Tensor | Mapping) or not isinstance(params, Iterable):
        raise OptionError(f"params must be a list of tensors, such as model.parameters(); got {type(params).__name__}.")
    listed = list(params)
    if not listed:
        raise OptionError("params is empty: nothing to train (an iterator that was used up before, perhaps).")
    return listed


def _refuse_twice(listed: list[Any]) -> None:
    tensors = [item[1] if isinstance(item, tuple) else item for item in listed]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise OptionError("params: a parameter appears twice; give each once.")


def _refuse_unfit(parameters: list[Tensor]) -> None:
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise OptionError("params: no parameter requires a gradient: nothing to train.")
    for what, found in (("dtype", {str(p.dtype) for p in trained}), ("device", {str(p.device) for p in trained})):
        if len(found) > 1:
            raise OptionError(f"params must have one {what}; got {', '.join(sorted(found))}.")
    if not trained[0].is_floating_point():
        raise OptionError(f"params must hold floating-point numbers; got {trained[0].dtype}.")


def _problem(objective: Objective, x: Tensor) -> AnalyticProblem:
    return AnalyticProblem(objective, x, ProblemFacts("closure", "analytic", len(x), 1))


def _blank(x: Tensor) -> Objective:
    """f = 0 for vectors like x [n]: a method's first state on it shows where that method keeps its tensors."""
    return FunctionObjective(lambda v: (0 * v).sum(), len(x), x.dtype, x.device)


def _placed(data: Any, like: Any, device: torch.device) -> Any:
    """`data` with each tensor on the device of the one at its place in `like`, or else on `device`."""
    if isinstance(data, Tensor):
        return data.to(like.device if isinstance(like, Tensor) else device)
    if isinstance(data, dict):
        return {
            key: _placed(value, like.get(key) if isinstance(like, dict) else None, device)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [_placed(value, None, device) for value in data]
    return data
