"""The generalized Gauss-Newton matrix of a loss on a module's outputs, seen through its products.

G = 1/N sum_i J_i' H_i J_i, J_i the Jacobian of the outputs of example i in the parameters, H_i the Hessian of its loss
in those outputs (Schraudolph, 2002). For a loss that is convex in the outputs G is positive semidefinite; it is the
Hessian of the loss with the module replaced by its linearisation, and the Hessian itself for a linear module.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hessrun.objective.products import in_rows, in_shapes, vector_jacobian_products


class GaussNewtonGraph:
    """One linearisation of the outputs and of the loss's gradient in them; then G v = J'(H (J v)) for many v.

    outputs: [B, ...] with their graph; loss: outputs -> a scalar; leaves: the parameters, in any shapes.
    """

    def __init__(self, outputs: Tensor, loss: Callable[[Tensor], Tensor], leaves: Sequence[Tensor]) -> None:
        self._outputs, self._leaves = outputs, leaves
        # J'u is linear in u, so that its derivative along u, applied to v, is J v: forward mode by reverse mode twice.
        self._u = torch.zeros_like(outputs, requires_grad=True)
        pulled: Sequence[Tensor] = ()
        if outputs.requires_grad:
            pulled = torch.autograd.grad(
                outputs, leaves, self._u, create_graph=True, allow_unused=True, materialize_grads=True
            )
        self._active = [i for i, part in enumerate(pulled) if part.requires_grad]
        self._pulled = [pulled[i] for i in self._active]
        self._at = outputs.detach().requires_grad_()
        (self._slope,) = torch.autograd.grad(loss(self._at), self._at, create_graph=True)

    def product(self, vectors: Sequence[Tensor]) -> Tensor:
        """G v, [n], for v given in the leaves' shapes."""
        if not self._pulled or not self._slope.requires_grad:
            # The outputs do not depend on the parameters, or the loss is linear in the outputs.
            return torch.cat([torch.zeros_like(leaf).reshape(-1) for leaf in self._leaves])
        (Jv,) = torch.autograd.grad(self._pulled, self._u, [vectors[i] for i in self._active], retain_graph=True)
        (HJv,) = torch.autograd.grad(self._slope, self._at, Jv, retain_graph=True)
        parts = torch.autograd.grad(
            self._outputs, self._leaves, HJv, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.reshape(-1) for part in parts])

    def products(self, rows: Tensor) -> Tensor:
        """G times each row, [k, n]; raises where an operation has no rule for a batch."""
        if not self._pulled or not self._slope.requires_grad:
            return torch.zeros_like(rows)
        vectors = in_shapes(rows, self._leaves)
        JV = vector_jacobian_products(self._pulled, [self._u], [vectors[i] for i in self._active])
        HJV = vector_jacobian_products([self._slope], [self._at], JV)
        parts = vector_jacobian_products([self._outputs], self._leaves, HJV)
        return in_rows(parts)
