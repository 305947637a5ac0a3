"""The state of optimizers that write to the vector themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.optimizers.base import State


@dataclass(kw_only=True)
class TorchState(State):
    """x is the live buffer that the wrapped optimizers write to.

    views: x by parameter name; parameters: what the optimizers hold, in the same memory; wrapped: one optimizer a part
    that has parameters; rates: the learning rate of each of its groups before the schedule, nan where it has none.
    """

    views: dict[str, Tensor]
    parameters: dict[str, torch.nn.Parameter]
    wrapped: list[torch.optim.Optimizer]
    rates: list[list[float]]

    def gather(self) -> None:
        """Bring parameters home: some optimizers put new memory under `parameter.data` instead of writing to it."""
        for name, parameter in self.parameters.items():
            view = self.views[name]
            if parameter.data_ptr() != view.data_ptr():
                view.copy_(parameter.detach())
                parameter.data = view
