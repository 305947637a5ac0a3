"""The networks that the sections train: mean cross entropy plus L2, as ours and as a plain function for the peers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.setting import Setting
from hessrun.objective import EmpiricalRisk
from hessrun.problems import ProblemFacts
from hessrun.problems.datasets import Dataset, Digits, FashionMNIST
from hessrun.problems.learning import SupervisedProblem

L2 = 1e-3


@dataclass(frozen=True)
class Network:
    """A module with its examples. module: the start; inputs: [N, ...]; targets: [N] classes; l2: weight decay."""

    module: nn.Module
    inputs: Tensor
    targets: Tensor
    l2: float = L2

    @cached_property
    def risk(self) -> EmpiricalRisk:
        """The function that is minimised."""
        return EmpiricalRisk(self.module, cross_entropy, self.inputs, self.targets, weight_decay=self.l2)

    def problem(self, seed: int = 0) -> SupervisedProblem:
        """The same as a problem with its minibatches."""
        facts = ProblemFacts("network", "supervised", self.risk.dim, self.risk.n_examples)
        return SupervisedProblem(self.risk, (), seed=seed, facts=facts)

    def function(self) -> Callable[[Tensor], Tensor]:
        """The same as a torch function of the flat vector [n], for peers that differentiate by themselves."""
        names = [name for name, _ in self.module.named_parameters()]
        shapes = [parameter.shape for parameter in self.module.parameters()]
        sizes = [shape.numel() for shape in shapes]

        def f(theta: Tensor) -> Tensor:
            views = (part.view(shape) for part, shape in zip(torch.split(theta, sizes), shapes, strict=True))
            parameters = dict(zip(names, views, strict=True))
            outputs = torch.func.functional_call(self.module, parameters, (self.inputs,))
            return cross_entropy(outputs, self.targets) + 0.5 * self.l2 * torch.dot(theta, theta)

        return f


def digits(setting: Setting, hidden: Sequence[int], *, seed: int = 0) -> Network:
    """A tanh network on all 1,797 digits of 8 x 8 pixels from 0 to 1, in float64; quick: on 200 of them."""
    dataset = Digits(
        validation_fraction=0.0, test_fraction=0.0, standardise=False, limit=200 if setting.is_quick else None
    )
    return _network(setting, dataset, hidden, seed, torch.float64)


def fashion_mnist(setting: Setting, hidden: Sequence[int], *, seed: int = 0) -> Network:
    """A tanh network on 10,000 images of 28 x 28 pixels from 0 to 1, in float32; quick: on 200 of them.

    Raises DataError where the files are not in the folder.
    """
    dataset = FashionMNIST(
        validation_fraction=0.0,
        standardise=False,
        limit=200 if setting.is_quick else 10_000,
        source=str(setting.fashion_mnist),
    )
    return _network(setting, dataset, hidden, seed, torch.float32)


def _network(setting: Setting, dataset: Dataset, hidden: Sequence[int], seed: int, dtype: torch.dtype) -> Network:
    examples = dataset.load().train
    inputs = examples.inputs.flatten(1).to(setting.device, dtype)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    width = inputs.shape[1]
    for wide in hidden:
        layers += [nn.Linear(width, wide), nn.Tanh()]
        width = wide
    module = nn.Sequential(*layers, nn.Linear(width, 10)).to(setting.device, dtype)
    return Network(module, inputs, examples.targets.to(setting.device))
