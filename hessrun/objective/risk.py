"""The empirical risk of a module: f(x) = 1/N sum_i loss(module_x(input_i), target_i) + 1/2 sum_j w_j x_j^2.

The parameters of a private copy of the module are views of one flat vector, and so are their gradients. Examples are
taken in chunks, weighted by their sizes, so that a ragged last chunk counts for what it is.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from hessrun.errors import OptionError
from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.chain import Chain
from hessrun.objective.counts import Counter
from hessrun.objective.examples import Examples, examples_of
from hessrun.objective.gauss_newton import GaussNewtonGraph
from hessrun.objective.inspection import refuse_unfit_module, saved_numbers_per_example
from hessrun.objective.layers import LayeredHessian, agrees
from hessrun.objective.layout import ParameterLayout
from hessrun.objective.products import Batching, GradientGraph, GraphCurvature, ProductGraph
from hessrun.objective.sizes import PAIR, sizes_on
from hessrun.options import integer, non_negative

Loss = Callable[[Tensor, Tensor], Tensor]

# Double backward keeps about this many times what the forward pass keeps.
_GRAPH_FACTOR = 4
# So many examples show what the module does with one of them.
_SAMPLE = 16


class EmpiricalRisk(Objective):
    """The mean loss of a module over examples, as a function of its flat parameters, plus L2 weight decay.

    module: any nn.Module; a copy is made, its mode and buffers are kept as they are.
    loss: (outputs [B, ...], targets [B, ...]) -> the mean over the B examples, a scalar.
    inputs, targets: [N, ...], on the module's device; or, in place of both, `Examples` that need not fit in memory.
    weight_decay: w >= 0, one number or one per glob pattern on parameter names (first match, else 0).
    chunk_size: examples per chunk; by default from the memory that one example takes (a rule of shapes and device).
    graph_memory: bytes, 0 or above, that the graphs behind the products of one point may take (estimated from shapes);
        above, every product makes them anew, chunk by chunk, which takes the time of one gradient more.

    x0: the module's own parameters, [n]. Raises ObjectiveError for a module that is not deterministic or that mixes
    examples (dropout, batch norm in training mode), and OptionError for options outside their ranges.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        inputs: Tensor | Examples,
        targets: Tensor | None = None,
        *,
        weight_decay: float | Mapping[str, float] = 0.0,
        chunk_size: int | None = None,
        graph_memory: int = 2**30,
    ) -> None:
        self.loss, self.examples = loss, examples_of(inputs, targets)
        self.layout = ParameterLayout.of(module)
        sample = self.examples.chunk(0, _SAMPLE)
        self._input_shape = sample[0].shape[1:]
        self._adopt(copy.deepcopy(module))
        self.n_examples = self.n_batch = len(self.examples)
        self.counter = Counter(self.n_examples)
        self._decay = self._decay_of(weight_decay)
        self._frozen_penalty: Tensor | float = 0.0
        self._twin: EmpiricalRisk | None = None
        refuse_unfit_module(self.module, loss, *sample)
        self._saved = saved_numbers_per_example(self.module, loss, *sample)
        if chunk_size is not None:
            integer("chunk_size", chunk_size, minimum=1)
        integer("graph_memory", graph_memory, minimum=0)
        self.graph_memory = graph_memory
        self._sizes = sizes_on(self.device)
        self._batching = Batching()
        self.chunk_size = chunk_size or self._sizes.chunk(self._saved, self.dtype.itemsize)

    def _adopt(self, module: nn.Module) -> None:
        """Make the module's parameters views of one buffer, which every evaluation fills anew."""
        self.module = module
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.x0 = torch.cat([p.detach().reshape(-1) for p in self._parameters])
        self.dim, self.dtype, self.device = len(self.x0), self.x0.dtype, self.x0.device
        self._buffer = self.x0.clone()
        for parameter, view in zip(self._parameters, self.layout.views(self._buffer), strict=True):
            parameter.data = view
            parameter.grad = None
        self._chain = Chain.of(module, self._input_shape)

    @property
    def inputs(self) -> Tensor:
        """All inputs at once, [N, ...], also where they are streamed."""
        return self.examples.chunk(0, self.n_batch)[0]

    @property
    def targets(self) -> Tensor:
        """All targets at once, [N, ...], also where they are streamed."""
        return self.examples.chunk(0, self.n_batch)[1]

    def _decay_of(self, weight_decay: float | Mapping[str, float]) -> Tensor | float:
        if not isinstance(weight_decay, Mapping):
            non_negative("weight_decay", weight_decay)
            return float(weight_decay)
        each = self.layout.per_parameter(weight_decay, option="weight_decay")
        sizes = torch.tensor(self.layout.sizes, device=self.device)
        return torch.tensor(each, dtype=self.dtype, device=self.device).repeat_interleave(sizes)

    def subset(self, indices: Tensor) -> "EmpiricalRisk":
        """The risk over some of the examples: counts on the same counter, B of N examples as B/N of a pass."""
        part = copy.copy(self)
        part.examples = self.examples.take(indices)
        part.n_batch = len(indices)
        part._twin = None if self._twin is None else self._twin.subset(indices)
        return part

    def in_dtype(self, dtype: torch.dtype) -> "EmpiricalRisk":
        """The same risk computed in another floating-point dtype, on the same counter; the last one asked for is kept.

        Raises OptionError where the module or the loss does not run in it.
        """
        if dtype == self.dtype:
            return self
        if self._twin is None or self._twin.dtype != dtype:
            twin = copy.copy(self)
            twin._adopt(copy.deepcopy(self.module).to(dtype))
            twin.x0 = self.x0.to(dtype)  # the module holds what was evaluated last
            twin.examples = self.examples.in_dtype(dtype)
            twin._decay = self._decay.to(dtype) if isinstance(self._decay, Tensor) else self._decay
            if isinstance(self._frozen_penalty, Tensor):
                twin._frozen_penalty = self._frozen_penalty.to(dtype)
            twin._twin = None
            inputs, targets = twin.examples.chunk(0, 1)
            try:
                with torch.no_grad():
                    self.loss(twin.module(inputs), targets)
            except (RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise OptionError(f"The model or its loss does not run in {dtype}: {reason}") from error
            self._twin = twin
        if self._twin.counter is not self.counter:
            self._twin = copy.copy(self._twin)
            self._twin.counter = self.counter
        return self._twin

    def on(self, inputs: Tensor | Examples, targets: Tensor | None = None) -> "EmpiricalRisk":
        """The risk of the same module over other examples (a validation or test split), without weight decay."""
        other = copy.copy(self)
        other.examples = examples_of(inputs, targets)
        other.n_examples = other.n_batch = len(other.examples)
        other.counter, other._twin = Counter(other.n_examples), None
        other._decay = other._frozen_penalty = 0.0
        return other

    def restricted(self, x: Tensor, names: Collection[str]) -> "EmpiricalRisk":
        """The risk as a function of the named parameters alone, the others frozen at x [n], on the same counter.

        Its gradients and products differentiate in nothing else; its x0 is the part of x that it is a function of.
        names: one or more of the layout's; `hessrun.objective.restrict` takes patterns.
        """
        self._check(x)
        part = copy.copy(self)
        module = copy.deepcopy(self.module)
        values = self.layout.named(x.detach().clone())
        for name, parameter in module.named_parameters():
            if name in values:
                parameter.data = values[name]
                parameter.requires_grad_(name in names)
        part.layout = ParameterLayout.of(module)
        part._adopt(module)
        kept = torch.cat([torch.full((v.numel(),), name in names, device=x.device) for name, v in values.items()])
        if isinstance(self._decay, Tensor):
            part._decay = self._decay[kept]
        frozen = torch.where(kept, 0.0, x)
        part._frozen_penalty = self._penalty(frozen, self._decay * frozen)
        part._twin = None
        return part

    def named_views(self, x: Tensor) -> dict[str, Tensor]:
        return self.layout.named(x)

    def outputs(self, x: Tensor) -> Tensor:
        """The module's outputs at x for all examples, [N, ...]; counts nothing."""
        return self.predictions(x)[0]

    def predictions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The module's outputs at x for all examples, and their targets, from one pass over them; counts nothing."""
        self._buffer.copy_(x)
        with torch.no_grad():
            parts = [(self.module(inputs), targets) for inputs, targets, _ in self._chunks()]
        return torch.cat([outputs for outputs, _ in parts]), torch.cat([targets for _, targets in parts])

    def state_dict(self, x: Tensor) -> dict[str, Tensor]:
        """What the plain module's `load_state_dict` takes, with the parameters of x; the tensors are copies."""
        self._buffer.copy_(x)
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        for inputs, targets in self.examples.chunks(self.chunk_size):
            yield inputs, targets, len(inputs) / self.n_batch

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        self._buffer.copy_(x)
        with torch.set_grad_enabled(gradient):
            value, total = self._sum(gradient)
        if gradient and total is None:
            total = torch.zeros_like(x)
        if self._has_decay or isinstance(self._frozen_penalty, Tensor):
            slope = self._decay * x
            value = value + self._penalty(x, slope)
            total = None if total is None else total.add_(slope)
        return Evaluation(x, value, total)

    def _sum(self, gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The mean loss of the examples, and its gradient [n], None where that is not asked for or vanishes."""
        value: Tensor | None = None
        total: Tensor | None = None
        for inputs, targets, weight in self._chunks():
            part = self.loss(self.module(inputs), targets)
            part = part if weight == 1 else weight * part
            # Nothing of it is left where all that it depends on is frozen.
            if gradient and part.requires_grad:
                slopes = torch.autograd.grad(part, self._parameters, allow_unused=True, materialize_grads=True)
                slope = torch.cat([each.reshape(-1) for each in slopes])
                total = slope if total is None else total.add_(slope)
            value = part.detach() if value is None else value + part.detach()
        assert value is not None  # noqa: S101  (there is at least one example)
        return value, total

    @property
    def _has_decay(self) -> bool:
        return isinstance(self._decay, Tensor) or self._decay > 0

    def _penalty(self, x: Tensor, slope: Tensor) -> Tensor:
        """Of the weight decay; slope: its gradient [n]."""
        return 0.5 * torch.dot(x, slope) + self._frozen_penalty

    def curvature_kinds(self) -> tuple[str, ...]:
        """The Hessian, and the generalized Gauss-Newton matrix (plus the weight decay) of the loss on the outputs."""
        return ("hessian", "gauss_newton")

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        point = x.detach().clone()
        leaves = [view.requires_grad_() for view in (v.detach() for v in self.layout.views(point))]
        named = dict(zip(self.layout.names, leaves, strict=True))

        def graph(inputs: Tensor, targets: Tensor, weight: float) -> ProductGraph:
            if self._chain is not None:
                return self._chain.graph(named, self.loss, inputs, targets, weight, kind)
            outputs = torch.func.functional_call(self.module, named, (inputs,))
            if kind == "gauss_newton":
                return GaussNewtonGraph(outputs, lambda o: weight * self.loss(o, targets), leaves)
            return GradientGraph(weight * self.loss(outputs, targets), leaves)

        def graphs() -> Iterator[ProductGraph]:
            for inputs, targets, weight in self._chunks():
                with torch.enable_grad(), _double_differentiable_attention():
                    made = graph(inputs, targets, weight)
                yield made

        return GraphCurvature(
            self,
            graphs,
            self.layout.views,
            keep=self._keeps_graphs,
            diagonal=self._decay,
            batch=self._batch,
            batching=self._batching,
        )

    @property
    def _keeps_graphs(self) -> bool:
        return self._saved * self.n_batch * self.dtype.itemsize * _GRAPH_FACTOR <= self.graph_memory

    @property
    def _batch(self) -> int:
        """Products that are made together."""
        if not self._keeps_graphs:
            return 1
        together = self._sizes.batch(self._saved * self.n_batch, self.dtype.itemsize)
        return together if self._chain is None else max(PAIR, together)

    def _hessian(self, x: Tensor) -> tuple[Tensor, int]:
        """By layers where the module allows it, verified with one random product, which is one column more."""
        layered = LayeredHessian.inspect(self.module, self.examples.chunk(0, _SAMPLE)[0])
        if layered is not None:
            named, size = self.layout.named(x), self.chunk_size
            hessian = layered.hessian(named, self.loss, self.examples, chunk_size=size)
            if hessian is not None:
                hessian.diagonal().add_(self._decay)
                with self._curvature(x, "hessian") as curvature:
                    if agrees(hessian, curvature, torch.Generator().manual_seed(0)):
                        return hessian, layered.columns + 1
        return super()._hessian(x)


def _double_differentiable_attention() -> AbstractContextManager[None]:
    """The fused attention kernels have no double backward: choose the one that is made of plain operations."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return kernel
