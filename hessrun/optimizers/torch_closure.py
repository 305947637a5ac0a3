"""How optimizers of torch's and third parties' ask for f and its gradient, and are stepped."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hessrun.errors import HessrunError, OptionError
from hessrun.objective import Evaluation, Objective
from hessrun.optimizers.torch_state import TorchState


class Closure:
    """What a wrapped optimizer calls for f and its gradient.

    f is evaluated once before the step and its gradient put in place, for optimizers that read it first. An optimizer's
    first call is answered from there as long as nothing has been written to its parameters and their gradients since;
    every other call evaluates. So each pays for what it asks for, and no more.
    """

    def __init__(self, objective: Objective, state: TorchState) -> None:
        self._objective, self._state = objective, state
        self.found = self._evaluate()

    def _evaluate(self) -> Evaluation:
        found = self._objective.evaluate(self._state.point())
        gradients = self._objective.named_views(found.gradient)
        for name, parameter in self._state.parameters.items():
            parameter.grad = gradients[name]
        self._gradients = gradients
        return found

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of one of the state's optimizers. Raises OptionError where it cannot run on value and gradient."""
        self._open_for(optimizer)
        step: Callable[..., Any] = optimizer.step
        try:
            if _takes_closure(type(optimizer).step):
                step(self)
            else:
                step()
        except HessrunError:
            raise
        except Exception as error:  # whatever a third party raises
            raise OptionError(_refusal(optimizer, error)) from error
        self._state.gather()

    def _open_for(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._is_first = True
        self._versions = self._written()
        self._start = self._state.x.clone() if self._state.step == 0 else None

    def _written(self) -> list[int]:
        """Counts of the writes in place to x, to the parameters and to the gradient, each shared with its views."""
        return [t._version for t in (self._state.x, self._parameters[0], self.found.gradient)]

    def __call__(self) -> Tensor:
        if self._is_first and self._state.is_home() and self._written() == self._versions:
            self._refuse_hidden_writes()
            for name, parameter in self._state.parameters.items():
                parameter.grad = self._gradients[name]
        elif len(self._state.wrapped) > 1:
            raise OptionError(
                f"{type(self._optimizer).__name__} evaluates f again within its step, which one of several parts "
                "cannot: give it all the parameters."
            )
        else:
            self.found = self._evaluate()
        self._is_first = False
        return self.found.value

    def _refuse_hidden_writes(self) -> None:
        """Writes through `parameter.data` are not counted; at the first step of all, the vectors are compared."""
        if self._start is not None and not torch.equal(self._start, self._state.x):
            raise OptionError(
                f"{type(self._optimizer).__name__} writes to parameter.data before it calls its closure: it must write "
                "to the parameter itself, under torch.no_grad()."
            )


@functools.cache
def _takes_closure(step: Callable[..., Any]) -> bool:
    return len(inspect.signature(step).parameters) > 1


def _refusal(optimizer: torch.optim.Optimizer, error: Exception) -> str:
    reason = f"{type(optimizer).__name__} does not run on this problem: {' '.join(str(error).split())}"
    if "grad_fn" in reason:
        return (
            f"{reason.rstrip('.')}. It differentiates the gradient or calls backward itself; an optimizer is given "
            "value and gradient here, and no graph."
        )
    return reason
