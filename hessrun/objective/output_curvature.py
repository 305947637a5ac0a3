"""The loss as a function of a network's outputs: its gradient there, and products with its Hessian."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


class OutputLoss:
    """share * loss at outputs [B, ...]. gradient: [B, ...].

    The Hessian of any loss comes from autograd; that of torch's cross entropy with classes is diag(p) - p p' for each
    example, in closed form. A loss says that it is a function of torch by `function`.
    """

    def __init__(self, loss: Loss, outputs: Tensor, targets: Tensor, share: float) -> None:
        with torch.enable_grad():
            self._outputs = outputs.detach().requires_grad_()
            value = share * loss(self._outputs, targets)
            (self._slope,) = torch.autograd.grad(value, self._outputs, create_graph=True)
        self.gradient = self._slope.detach()
        self._softmax: Tensor | None = None
        if getattr(loss, "function", loss) is functional.cross_entropy and _are_classes(outputs, targets):
            self._softmax = torch.softmax(outputs.detach(), dim=1).unsqueeze(1)
            self._scaled = self._softmax * (share / len(outputs))

    def product(self, tangents: Tensor) -> Tensor:
        """The Hessian in the outputs times tangents of them, [B, k, ...]."""
        if self._softmax is not None:
            means: Tensor = torch.linalg.vecdot(self._softmax, tangents)
            return self._scaled * (tangents - means.unsqueeze(2))
        if not self._slope.requires_grad:
            return torch.zeros_like(tangents)
        columns = [
            torch.autograd.grad(self._slope, self._outputs, tangent, retain_graph=True)[0]
            for tangent in tangents.unbind(1)
        ]
        return torch.stack(columns, dim=1)


def _are_classes(outputs: Tensor, targets: Tensor) -> bool:
    """Whether targets [B] are classes of outputs [B, K], none of them to be ignored."""
    return outputs.ndim == 2 and targets.ndim == 1 and targets.dtype == torch.int64 and bool((targets >= 0).all())
