"""Any optimizer that torch or a third party ships, on the flat vector."""

import copy
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.optimizers.base import Optimizer, State
from hessrun.optimizers.parts import Algorithm, Part, allot
from hessrun.optimizers.plain import tensors_in
from hessrun.optimizers.schedules import Constant, Schedule
from hessrun.optimizers.torch_closure import Closure
from hessrun.optimizers.torch_state import TorchState
from hessrun.options import integer
from hessrun.problems.problem import Problem
from hessrun.status import Status


@dataclass(frozen=True)
class TorchOptimizer(Optimizer[TorchState]):
    """Runs `algorithm(parameters, **settings)`; its parameters, in their own shapes, are views of the flat vector.

    algorithm: a torch.optim.Optimizer class, or a callable that makes one; None where every part has its own.
    settings: its keyword arguments. A `weight_decay` of its own is 0 unless it is set here: L2 belongs to the problem,
        so that all methods minimise one function.
    batch_size: examples of a minibatch, 1 or above; None takes the whole training split at every call.
    schedule: a factor on the learning rate (on each part's own) by step.
    parts: groups of parameters with an algorithm or settings of their own; every parameter belongs to one. Each part
        has an optimizer to itself, and all step from one gradient at one x, as in a loop over several optimizers.

    A gradient at x is in place before the optimizer's step, and its closure evaluates: both customs are served. What
    asks for a graph to differentiate again is refused at its first step.

        >>> TorchOptimizer(torch.optim.SGD, {"lr": 0.1}, parts=[Part("*.bias", settings={"lr": 1.0}), Part()]).minimises
        'the objective'

    Raises OptionError for a setting that an algorithm does not take, at `init` for parts that do not fit the problem
    and for values that an algorithm refuses, and at `step` for an algorithm that cannot run here.
    """

    state_type: ClassVar[type[State]] = TorchState

    algorithm: Algorithm | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    schedule: Schedule = field(default_factory=Constant)
    parts: Sequence[Part] = ()

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            integer("batch_size", self.batch_size, minimum=1)
        for part in self.parts:
            if not isinstance(part, Part):
                raise OptionError(f"parts: each must be a hessrun.optimizers.Part; got {type(part).__name__}.")
        fallen_back = not self.parts or any(part.algorithm is None for part in self.parts)
        if not fallen_back and (self.algorithm is not None or self.settings):
            raise OptionError("parts: each has an algorithm of its own, so that nothing is left for the common one.")
        self._completed()
        # torch imports its compiler where a process makes its first optimizer: a second or two, on no run's clock.
        importlib.import_module("torch._dynamo")

    def _completed(self) -> list[Part]:
        return [part.completed(self.algorithm, self.settings) for part in self.parts or (Part(),)]

    @property
    def is_stochastic(self) -> bool:
        """The buffer moves under the optimizer's hand: no evaluation at the new x is ever at hand."""
        return True

    @property
    def minimises(self) -> str:
        decays = any(part.settings.get("weight_decay", 0) for part in self._completed())
        return "another function" if decays else "the objective"

    def init(self, problem: Problem) -> TorchState:
        x = problem.x0.clone()
        return self._state(x, problem.train.named_views(x))

    def _state(self, x: Tensor, views: dict[str, Tensor]) -> TorchState:
        parameters = {name: torch.nn.Parameter(view) for name, view in views.items()}
        parts = self._completed()
        wrapped = [
            part.start([parameters[name] for name in names])
            for part, names in zip(parts, allot(parts, views), strict=True)
            if names
        ]
        rates = [[float(group.get("lr", float("nan"))) for group in one.param_groups] for one in wrapped]
        return TorchState(x=x, evaluation=None, views=views, parameters=parameters, wrapped=wrapped, rates=rates)

    def step(self, problem: Problem, state: TorchState) -> TorchState:
        objective = problem.train if self.batch_size is None else problem.minibatch(state.step, self.batch_size)
        self._set_rates(state)
        closure = Closure(objective, state)
        try:
            for optimizer in state.wrapped:
                closure.step(optimizer)
        except OptionError:
            if closure.found.is_finite() and bool(torch.isfinite(state.point()).all()):
                raise
            # It could not factorise what is not finite, say: an outcome of the run, and no misuse.
            state.failure = Status.DIVERGED
        for parameter in state.parameters.values():
            parameter.grad = None
        state.step += 1
        state.step_size = float(state.wrapped[0].param_groups[0].get("lr", float("nan")))
        return state

    def _set_rates(self, state: TorchState) -> None:
        if isinstance(self.schedule, Constant):
            return  # an algorithm that tunes its own rate is left to it
        factor = self.schedule.factor(state.step)
        for optimizer, rates in zip(state.wrapped, state.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                if "lr" in group:
                    group["lr"] = rate * factor

    def refresh(self, problem: Problem, state: TorchState) -> TorchState:
        """Where x was replaced by another vector, the parameters become views of a copy of that one."""
        if next(iter(state.views.values())).data_ptr() != state.x.data_ptr():
            state.x = state.x.clone()
            state.views = problem.train.named_views(state.x)
            for name, parameter in state.parameters.items():
                parameter.data = state.views[name]
        return state

    def dump(self, state: TorchState) -> dict[str, Any]:
        """A snapshot: it stays as it is while the optimizers write on.

        Raises OptionError for an optimizer whose state holds what a checkpoint cannot: it runs, but is not resumed.
        """
        for optimizer in state.wrapped:
            for kind in _foreign_types(optimizer.state_dict()):
                raise OptionError(
                    f"{type(optimizer).__name__} keeps a {kind.__name__} in its state, which a checkpoint cannot hold: "
                    "its runs start again from their beginning."
                )
        return {
            "step": state.step,
            "step_size": state.step_size,
            "failure": None if state.failure is None else state.failure.value,
            "x": state.x.clone(),
            "shapes": {name: list(view.shape) for name, view in state.views.items()},
            "rates": [list(rates) for rates in state.rates],
            "wrapped": [copy.deepcopy(optimizer.state_dict()) for optimizer in state.wrapped],
        }

    def load(self, data: dict[str, Any]) -> TorchState:
        x, shapes = data["x"].clone(), [torch.Size(shape) for shape in data["shapes"].values()]
        pieces = torch.split(x, [shape.numel() for shape in shapes])
        views = {name: piece.view(s) for name, piece, s in zip(data["shapes"], pieces, shapes, strict=True)}
        state = self._state(x, views)
        for optimizer, kept in zip(state.wrapped, copy.deepcopy(data["wrapped"]), strict=True):
            optimizer.load_state_dict(kept)
            # load_state_dict casts to the parameters' dtype: bits that it may lose are put back.
            ordered = [p for group in optimizer.param_groups for p in group["params"]]
            for index, entry in kept.get("state", {}).items():
                if isinstance(index, int):
                    optimizer.state[ordered[index]] = entry
        state.step, state.step_size, state.rates = data["step"], data["step_size"], data["rates"]
        state.failure = None if data["failure"] is None else Status(data["failure"])
        return state

    def state_bytes(self, state: TorchState) -> int:
        kept = [state.x, *(t for optimizer in state.wrapped for t in tensors_in(dict(optimizer.state)))]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}.values())


def _foreign_types(value: Any) -> Iterator[type]:
    """The types in a state_dict other than those that are read back without running code."""
    if isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from _foreign_types(item)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _foreign_types(item)
    elif value is not None and not isinstance(value, Tensor) and type(value) not in (bool, int, float, str):
        yield type(value)
