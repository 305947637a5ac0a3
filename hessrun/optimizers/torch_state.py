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

    def is_home(self) -> bool:
        """The parameters are in x: some optimizers put new memory under `parameter.data` instead of writing to it."""
        return all(p.data_ptr() == self.views[name].data_ptr() for name, p in self.parameters.items())

    def point(self) -> Tensor:
        """The vector [n] of the parameters as they are: x, or a copy where they have left it."""
        if self.is_home():
            return self.x
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters.values()])

    def gather(self) -> None:
        """Bring parameters that have left x home."""
        if self.is_home():
            return
        self.x.copy_(self.point())
        for name, parameter in self.parameters.items():
            parameter.data = self.views[name]
