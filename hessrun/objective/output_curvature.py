"""The loss as a function of a network's outputs: its gradient there, and products with its Hessian."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from hessrun.objective.bilinear import in_the_order_of

Loss = Callable[[Tensor, Tensor], Tensor]

_IGNORED = -100  # the class that torch's cross entropy leaves out of its mean


class OutputLoss(Protocol):
    """share * loss at outputs [B, ...]. gradient: [B, ...]; product: of its Hessian with tangents [k, B, ...]."""

    gradient: Tensor

    def product(self, tangents: Tensor) -> Tensor: ...


def output_loss(loss: Loss, outputs: Tensor, targets: Tensor, share: float) -> OutputLoss:
    """In closed form for torch's cross entropy with classes, by autograd for any other.

    An object that computes just what a function of torch does, as hessrun's own, says so by `torch_function` of its
    own class: a subclass may compute something else.
    """
    said = vars(type(loss)).get("torch_function", loss)
    is_cross_entropy = getattr(said, "__func__", said) is functional.cross_entropy
    if is_cross_entropy and outputs.ndim == 2 and targets.ndim == 1 and targets.dtype == torch.int64:
        return _CrossEntropy(outputs.detach(), targets, share)
    return _AnyLoss(loss, outputs, targets, share)


class _CrossEntropy:
    """With p the softmax of an example's outputs, the gradient is p - e_class and the Hessian diag(p) - p p'."""

    def __init__(self, outputs: Tensor, targets: Tensor, share: float) -> None:
        p = in_the_order_of(outputs, torch.softmax(outputs, dim=1))
        kept = (targets != _IGNORED).to(p.dtype)
        each = (share * kept / kept.sum()).unsqueeze(1)
        self._p, self._scaled = p, each * p
        self.gradient = self._scaled.scatter_add(1, targets.clamp_min(0).unsqueeze(1), -each)

    def product(self, tangents: Tensor) -> Tensor:
        means = (self._p * tangents).sum(2, keepdim=True)
        return self._scaled * (tangents - means)


class _AnyLoss:
    def __init__(self, loss: Loss, outputs: Tensor, targets: Tensor, share: float) -> None:
        with torch.enable_grad():
            self._outputs = outputs.detach().requires_grad_()
            value = share * loss(self._outputs, targets)
            (self._slope,) = torch.autograd.grad(value, self._outputs, create_graph=True)
        self.gradient = self._slope.detach()

    def product(self, tangents: Tensor) -> Tensor:
        if not self._slope.requires_grad:
            return torch.zeros_like(tangents)
        columns = [
            torch.autograd.grad(self._slope, self._outputs, tangent, retain_graph=True)[0] for tangent in tangents
        ]
        return torch.stack(columns)
