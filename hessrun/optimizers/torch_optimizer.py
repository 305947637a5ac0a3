"""Any optimizer that torch or a third party ships, on the flat vector."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from hessrun.errors import HessrunError, OptionError
from hessrun.objective import Evaluation
from hessrun.optimizers.base import Optimizer, State
from hessrun.optimizers.plain import tensors_in, to_plain
from hessrun.optimizers.schedules import Constant, Schedule
from hessrun.options import integer, nearest
from hessrun.problems.problem import Problem


@dataclass(kw_only=True)
class TorchState(State):
    """x is the live buffer that the wrapped optimizer writes to; its parameters are views of it."""

    parameters: dict[str, torch.nn.Parameter]
    wrapped: torch.optim.Optimizer
    rates: list[float]


@dataclass(frozen=True)
class TorchOptimizer(Optimizer[TorchState]):
    """Runs `algorithm(parameters, **settings)`; its parameters, in their own shapes, are views of the flat vector.

    algorithm: a torch.optim.Optimizer class, or a callable that makes one.
    settings: its keyword arguments. A `weight_decay` of its own is 0 unless it is set here: L2 belongs to the problem,
    so that all methods minimise one function.
    batch_size: examples of a minibatch, 1 or above; None takes the whole training split at every call.
    schedule: a factor on the learning rate by step.
    """

    state_type: ClassVar[type[State]] = TorchState

    algorithm: Callable[..., torch.optim.Optimizer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    schedule: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, minimum=1)
        known = inspect.signature(self.algorithm).parameters
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        allowed = [name for name in known if name not in ("self", "params")]
        for name in self.settings:
            if name not in allowed and not open_ended:
                hint = nearest(name, allowed)
                raise OptionError(f"{self._name} has no option '{name}'; it takes {', '.join(allowed)}.{hint}")

    @property
    def _name(self) -> str:
        return str(getattr(self.algorithm, "__name__", type(self.algorithm).__name__))

    @property
    def is_stochastic(self) -> bool:
        """The buffer moves under the optimizer's hand: no evaluation at the new x is ever at hand."""
        return True

    @property
    def minimises(self) -> str:
        return "another function" if self.settings.get("weight_decay", 0) else "the objective"

    def init(self, problem: Problem) -> TorchState:
        return self._state(problem.train.named_views(problem.x0.clone()))

    def _state(self, views: Mapping[str, Tensor]) -> TorchState:
        parameters = {name: torch.nn.Parameter(view) for name, view in views.items()}
        settings = dict(self.settings)
        if "weight_decay" in inspect.signature(self.algorithm).parameters:
            settings.setdefault("weight_decay", 0.0)
        try:
            wrapped = self.algorithm(list(parameters.values()), **settings)
        except (ValueError, TypeError) as error:
            raise OptionError(f"{self._name}: {' '.join(str(error).split())}") from error
        first = next(iter(views.values()))
        buffer = first._base if first._base is not None else first
        rates = [float(group.get("lr", float("nan"))) for group in wrapped.param_groups]
        return TorchState(x=buffer, evaluation=None, parameters=parameters, wrapped=wrapped, rates=rates)

    def step(self, problem: Problem, state: TorchState) -> TorchState:
        objective = problem.train if self.batch_size is None else problem.minibatch(state.step, self.batch_size)
        factor = self.schedule.factor(state.step)
        for group, rate in zip(state.wrapped.param_groups, state.rates, strict=True):
            if "lr" in group:
                group["lr"] = rate * factor

        def closure() -> Tensor:
            found: Evaluation = objective.evaluate(state.x)
            gradients = problem.train.named_views(found.gradient)
            for name, parameter in state.parameters.items():
                parameter.grad = gradients[name]
            return found.value

        try:
            state.wrapped.step(closure)  # type: ignore[arg-type]
        except HessrunError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise OptionError(f"{self._name} does not run on this problem: {reason}") from error
        state.step += 1
        state.step_size = state.rates[0] * factor
        return state

    def refresh(self, problem: Problem, state: TorchState) -> TorchState:
        return state

    def dump(self, state: TorchState) -> dict[str, Any]:
        return {
            "step": state.step,
            "step_size": state.step_size,
            "views": {name: to_plain(p.detach().clone()) for name, p in state.parameters.items()},
            "rates": list(state.rates),
            "wrapped": state.wrapped.state_dict(),
        }

    def load(self, data: dict[str, Any]) -> TorchState:
        flat = torch.cat([view.reshape(-1) for view in data["views"].values()])
        sizes = [view.numel() for view in data["views"].values()]
        parts = torch.split(flat, sizes)
        views = {name: part.view(view.shape) for (name, view), part in zip(data["views"].items(), parts, strict=True)}
        state = self._state(views)
        state.x = flat
        state.wrapped.load_state_dict(data["wrapped"])
        state.step, state.step_size, state.rates = data["step"], data["step_size"], data["rates"]
        return state

    def state_bytes(self, state: TorchState) -> int:
        kept = [state.x, *tensors_in(dict(state.wrapped.state))]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}.values())


def wrap(
    algorithm: Callable[..., torch.optim.Optimizer],
    *,
    batch_size: int | None = None,
    schedule: Schedule | None = None,
    **settings: Any,
) -> TorchOptimizer:
    """A `TorchOptimizer` from flat keyword arguments, as a YAML whose `_target_` is a bare torch class gives them."""
    return TorchOptimizer(algorithm, settings, batch_size, schedule or Constant())
