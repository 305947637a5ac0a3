"""The function that a training loop's closure defines: f(x) is the loss that it returns when the parameters hold x.

The parameters stay where they are, in the hands of the model: x is copied into them in place. A graph that was built
on them is invalid from then on, so that none outlives the values it was built at: it is built anew when it is needed.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hessrun.errors import ObjectiveError
from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.counts import Counter
from hessrun.objective.layout import ParameterLayout
from hessrun.objective.products import GradientGraph, GraphCurvature

Closure = Callable[[], Tensor | float]


class LiveParameters:
    """A model's parameters, seen as one vector that can be read and written.

    parameters: tensors of one dtype on one device that require gradients; names: one each.
    """

    def __init__(self, parameters: Sequence[Tensor], names: Sequence[str]) -> None:
        self.parameters = list(parameters)
        self.layout = ParameterLayout(tuple(names), tuple(p.shape for p in parameters))
        self._graph: tuple[Tensor, GradientGraph] | None = None

    def read(self) -> Tensor:
        """A copy of their values, [n]."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters])

    def write(self, x: Tensor) -> None:
        """Give them the values of x [n]; a graph built on the old ones is dropped."""
        self._graph = None
        with torch.no_grad():
            for parameter, view in zip(self.parameters, self.layout.views(x), strict=True):
                parameter.copy_(view)

    def graph_at(self, x: Tensor, build: Callable[[], GradientGraph]) -> GradientGraph:
        """The graph of the gradient at x [n]; built anew unless it was the last one built at this very tensor."""
        if self._graph is None or self._graph[0] is not x:
            self.write(x)
            self._graph = x, build()
        return self._graph[1]

    def gather_gradient(self) -> Tensor | None:
        """Their gradients as one vector [n] without a graph, 0 where there is none; None where no one has any."""
        if all(p.grad is None for p in self.parameters):
            return None
        return _flat([p.grad for p in self.parameters], self.parameters)

    def set_gradient(self, gradient: Tensor) -> None:
        """Give them copies of the parts of a gradient [n]."""
        for parameter, view in zip(self.parameters, self.layout.views(gradient.clone()), strict=True):
            parameter.grad = view

    def clear_gradient(self) -> None:
        """Take their gradients away."""
        for parameter in self.parameters:
            parameter.grad = None


class ClosureObjective(Objective):
    """f(x) = closure() with the parameters at x; a pass is one call.

    closure: returns the loss, a scalar: either after `loss.backward()`, or with its graph, which is then differentiated
    here. It must give the same loss at the same parameters for as long as this objective is in use.
    at: the parameters; they hold the last x that was asked for. counter: shared where several closures are one run.

    first_value: the loss of the first call, or None; last_gradient: that of the last evaluation that had one, or None.
    Raises ObjectiveError where the loss is no scalar, where there is neither a gradient nor a graph, and where
    products or a Hessian are asked for and `backward()` has freed the graph.
    """

    def __init__(self, closure: Closure, at: LiveParameters, counter: Counter) -> None:
        self._closure, self._at = closure, at
        first = at.parameters[0]
        self.dim, self.dtype, self.device = at.layout.dim, first.dtype, first.device
        self.n_examples = self.n_batch = 1
        self.counter = counter
        self.first_value: Tensor | None = None
        self.last_gradient: Tensor | None = None

    def named_views(self, x: Tensor) -> dict[str, Tensor]:
        return self._at.layout.named(x)

    def _call(self) -> Tensor:
        """The loss. Gradients are taken away before, so that one that is there afterwards is the closure's own."""
        self._at.clear_gradient()
        with torch.enable_grad():
            loss = self._closure()
        if isinstance(loss, int | float):
            loss = torch.tensor(float(loss), dtype=self.dtype, device=self.device)
        if not isinstance(loss, Tensor):
            raise ObjectiveError(f"The closure must return the loss, a scalar; it returned {type(loss).__name__}.")
        if loss.ndim != 0:
            raise ObjectiveError(
                f"The closure must return the loss, a scalar; it returned the shape {list(loss.shape)}."
            )
        if self.first_value is None:
            self.first_value = self._value(loss)
        return loss

    def _value(self, loss: Tensor) -> Tensor:
        """A copy: what the closure returned may be a running sum of the caller's."""
        return loss.detach().to(device=self.device, dtype=self.dtype, copy=True)

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        self._at.write(x)
        loss = self._call()
        if not gradient:
            return Evaluation(x, self._value(loss), None)
        found = self._at.gather_gradient()
        if found is None:
            if not loss.requires_grad:
                if not bool(loss.isfinite()):
                    # A closure may guard its domain by a constant: a rejected trial.
                    return Evaluation(x, self._value(loss), torch.full_like(x, torch.nan))
                raise ObjectiveError(
                    "The closure's loss has no graph and its parameters no gradient: compute the loss from them with "
                    "torch operations and return it, with or without `loss.backward()`."
                )
            parameters = self._at.parameters
            found = _flat(torch.autograd.grad(loss, parameters, allow_unused=True), parameters)
        # A gradient of backward(create_graph=True) and its parameter hold each other: free the graph now.
        self._at.clear_gradient()
        self.last_gradient = found
        return Evaluation(x, self._value(loss), found)

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        point = x.detach().clone()

        def graphs() -> Iterator[GradientGraph]:
            yield self._at.graph_at(point, self._linearise)

        return GraphCurvature(self, graphs, self._at.layout.views, keep=False)

    def _linearise(self) -> GradientGraph:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        # The fused attention kernels have no double backward.
        with sdpa_kernel(SDPBackend.MATH):
            loss = self._call()
            had_backward = self._at.gather_gradient() is not None
            self._at.clear_gradient()
            if not loss.requires_grad:
                raise _no_graph()
            try:
                return GradientGraph(loss, self._at.parameters)
            except RuntimeError as error:
                if had_backward:
                    raise _no_graph() from error
                raise


def _no_graph() -> ObjectiveError:
    return ObjectiveError(
        "This method needs Hessian-vector products, for which the closure must leave the graph: `return loss` without "
        "`loss.backward()` (or with `loss.backward(create_graph=True)`)."
    )


def _flat(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """One vector [n] of gradients, some of which may be missing (0) or sparse."""
    parts = [p.new_zeros(p.numel()) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
    return torch.cat([(g if g.layout == torch.strided else g.to_dense()).detach().reshape(-1) for g in parts])
