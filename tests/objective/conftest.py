"""Small risks in float64, one for each kind of module that an objective has to cope with."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk

N = 11


class Attention(nn.Module):
    """Self-attention over three tokens of width 4: the fused kernel has no double backward."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 12)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unsqueeze(1).chunk(3, dim=-1)
        return self.out(functional.scaled_dot_product_attention(q, k, v).squeeze(1).mean(1))


class Tied(nn.Module):
    """One weight used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight) @ self.weight.T


class PartlyUnused(nn.Module):
    """A parameter that the output does not depend on, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.spare = nn.Parameter(torch.randn(4))
        self.body.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.body(x))


@dataclass(frozen=True)
class Case:
    """A module with the data and the loss that it is trained on."""

    module: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor

    def risk(self, **options: object) -> EmpiricalRisk:
        return EmpiricalRisk(self.module, self.loss, self.inputs, self.targets, **options)


def _classes(count: int) -> Tensor:
    return torch.randint(count, (N,))


CASES: dict[str, Callable[[], Case]] = {
    "softmax_regression": lambda: Case(nn.Linear(3, 4), functional.cross_entropy, torch.randn(N, 3), _classes(4)),
    "mlp": lambda: Case(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        functional.mse_loss,
        torch.randn(N, 3),
        torch.randn(N, 2),
    ),
    "convolution": lambda: Case(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.GELU(), nn.Flatten(), nn.Linear(16, 3)),
        functional.cross_entropy,
        torch.randn(N, 1, 4, 4),
        _classes(3),
    ),
    "eval_batch_norm": lambda: Case(
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.5)).eval(),
        functional.mse_loss,
        torch.randn(N, 3),
        torch.randn(N, 3),
    ),
    "attention": lambda: Case(Attention(), functional.cross_entropy, torch.randn(N, 3, 4), _classes(2)),
    "tied": lambda: Case(Tied(), functional.mse_loss, torch.randn(N, 3), torch.randn(N, 3)),
    "partly_unused": lambda: Case(PartlyUnused(), functional.mse_loss, torch.randn(N, 3), torch.rand(N, 2)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = CASES[request.param]()
    made.module.double()
    inputs = made.inputs.double()
    targets = made.targets.double() if made.targets.is_floating_point() else made.targets
    return Case(made.module, made.loss, inputs, targets)
