"""The methods and the problems of the contract, as data: a new method is one line, and then held to all of it.

A problem is a composition f(x) = outer(inner(x)), outer a sum over the last dimension: most methods see f as a
function of a vector, and those that need a model's risk see inner as the model and outer as its loss.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun import optimizers as ours
from hessrun.linesearch import Armijo
from hessrun.objective import EmpiricalRisk, as_objective
from hessrun.optimizers import Optimizer, TorchOptimizer
from hessrun.problems import AnalyticProblem, ProblemFacts, SupervisedProblem
from hessrun.problems.learning import HeldOut
from hessrun.problems.problem import Problem


@dataclass(frozen=True)
class Case:
    """A method, and what it promises beyond the contract of all.

    is_safeguarded: no trial that is not finite is ever accepted; descends: f never rises by more than rounding;
    is_scale_free: the path of x is the same for c f; leaves_saddles: it knows negative curvature and follows it.
    """

    method: Optimizer
    is_safeguarded: bool = True
    descends: bool = True
    is_scale_free: bool = True
    leaves_saddles: bool = False

    @property
    def needs_model(self) -> bool:
        return isinstance(self.method, ours.GaussNewton)


def first_order(method: Optimizer) -> Case:
    return Case(method, is_safeguarded=False, descends=False, is_scale_free=False)


CASES = {
    "gd": first_order(ours.SGD(lr=1e-3)),
    "nesterov": first_order(ours.SGD(lr=1e-4, momentum=0.9, nesterov=True)),
    "sgd": first_order(ours.SGD(lr=1e-4, momentum=0.9, batch_size=8, schedule=ours.Cosine(steps=10_000))),
    "newton": Case(ours.Newton(), leaves_saddles=True),
    "newton_shift": Case(ours.Newton(modification="shift")),
    "newton_clip": Case(ours.Newton(modification="clip")),
    "newton_plain": Case(ours.Newton(modification="none"), is_safeguarded=False, descends=False),
    "newton_trust": Case(ours.NewtonTrust(), leaves_saddles=True),
    "newton_cg": Case(ours.NewtonCG(), leaves_saddles=True),
    "newton_cg_sampled": Case(ours.NewtonCG(batch_size=8, product_batch_size=4), descends=False),
    "newton_cg_line_search": Case(ours.NewtonCGLineSearch(), leaves_saddles=True),
    "gauss_newton": Case(ours.GaussNewton()),
    "bfgs": Case(ours.BFGS()),
    "bfgs_armijo_damped": Case(ours.BFGS(line_search=Armijo(), low_curvature="damp", block=1)),
    "dfp": Case(ours.DFP()),
    "broyden": Case(ours.Broyden()),
    "ssbfgs": Case(ours.SSBFGS()),
    "sr1": Case(ours.SR1()),
    "lbfgs": Case(ours.LBFGS()),
    "lbfgs_every": Case(ours.LBFGS(memory=3, initial_scaling="every")),
    "lbfgs_first": Case(ours.LBFGS(initial_scaling="first")),
    "lbfgs_multibatch": Case(ours.LBFGSMultibatch(batch_size=8), descends=False),
    "lbfgs_multibatch_whole": Case(ours.LBFGSMultibatch()),
    "adam": first_order(TorchOptimizer(torch.optim.Adam, {"lr": 1e-2})),
    "adamw_sampled": first_order(TorchOptimizer(torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.0}, batch_size=8)),
    "torch_lbfgs": first_order(
        TorchOptimizer(
            torch.optim.LBFGS, {"max_iter": 1, "max_eval": 26, "history_size": 5, "line_search_fn": "strong_wolfe"}
        )
    ),
}


@dataclass(frozen=True)
class Kind:
    """f(x) = outer(inner(x)) from x0, with inner: [n] -> [m] and outer: [..., m] -> [...]."""

    outer: Callable[[Tensor], Tensor]
    x0: tuple[float, ...]
    inner: Callable[[Tensor], Tensor] = lambda x: 1.0 * x


def _walled(x: Tensor) -> Tensor:
    """NaN from a distance of 1 on, with the minimum just within."""
    f = (x - 0.9).square().sum(-1)
    return torch.where(x.abs().amax(-1) > 1, torch.full_like(f, float("nan")), f)


KINDS = {
    "rosenbrock": Kind(
        lambda r: r.square().sum(-1),
        (-1.2, 1.0),
        inner=lambda x: torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]]),
    ),
    "bowl": Kind(lambda x: (x.new_tensor([50, 100, 200]) * (x - 0.3).square()).sum(-1), (0.0, 0.0, 0.0)),
    "log_domain": Kind(lambda x: (x - x.log()).sum(-1), (5.0, 50.0, 0.01, 3.0, 1e3)),
    "walled": Kind(_walled, (-0.5, 0.2)),
    "overflowing": Kind(lambda x: (x.square().exp() - 3 * x).sum(-1), (4.0, -2.0, 0.5)),
    "saddle": Kind(lambda x: x[..., 0] ** 2 - x[..., 1] ** 2 + x[..., 1] ** 4 / 4, (1.0, 0.0)),
    "constant": Kind(lambda x: 0 * x.sum(-1) + 7, (1.0, 2.0)),
    "plateau": Kind(lambda x: torch.relu(x.abs().sum(-1) - 10), (2.0, -1.0)),
    "one_variable": Kind(lambda x: (x**4 - 3 * x).sum(-1), (3.0,)),
}


class _Model(nn.Module):
    def __init__(self, kind: Kind, x0: Tensor) -> None:
        super().__init__()
        self.kind, self.x = kind, nn.Parameter(x0.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.kind.inner(self.x)
        return outputs.expand(len(inputs), len(outputs))


def analytic(kind: Kind, case: Case, *, dtype: torch.dtype = torch.float64, factor: float = 1.0) -> AnalyticProblem:
    """The problem as this method can see it, f times a factor."""
    x0 = torch.tensor(kind.x0, dtype=dtype)
    if case.needs_model:
        one = torch.zeros(1, 1, dtype=dtype)
        objective = EmpiricalRisk(_Model(kind, x0), lambda o, _: factor * kind.outer(o).mean(), one, one)
    else:
        objective = as_objective(lambda x: factor * kind.outer(kind.inner(x)), x0)
    return AnalyticProblem(objective, x0, ProblemFacts("f", "analytic", len(x0), 1))


def softmax(*, dtype: torch.dtype = torch.float64, device: str = "cpu", model: nn.Module | None = None) -> Problem:
    """Softmax regression (or another model of 3 inputs and 3 classes) on 30 examples, with a test split of 10."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    classes = (inputs @ torch.randn(3, 3, generator=generator, dtype=torch.float64)).argmax(1).to(device)
    inputs = inputs.to(device=device, dtype=dtype)
    if model is None:
        model = nn.Linear(3, 3)
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.1)
    risk = EmpiricalRisk(
        model.to(device=device, dtype=dtype),
        functional.cross_entropy,
        inputs[:30],
        classes[:30],
        weight_decay=1e-2,
    )
    held_out = (HeldOut("test", risk.on(inputs[30:], classes[30:]), classes[30:]),)
    facts = ProblemFacts("softmax", "supervised", risk.dim, 30)
    return SupervisedProblem(risk, held_out, seed=3, facts=facts)


PROBLEMS = (*KINDS, "softmax")


def problem(name: str, case: Case, dtype: torch.dtype = torch.float64) -> Problem:
    return softmax(dtype=dtype) if name == "softmax" else analytic(KINDS[name], case, dtype=dtype)
