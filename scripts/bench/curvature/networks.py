"""The networks whose curvature is looked at: mean cross entropy without weight decay, which not every peer can add."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench import networks
from bench.networks import Network
from bench.setting import Setting
from hessrun.problems.models import lenet as build_lenet

_TRAINING_STEPS = 50


def digits_mlp(setting: Setting, dtype: torch.dtype, *, hidden_layers: int = 1) -> Network:
    """64-32-10 on the 1,797 digits, 2,410 parameters; with two hidden layers of 32, 3,466."""
    width = 4 if setting.is_quick else 32
    return in_dtype(replace(networks.digits(setting, [width] * hidden_layers), l2=0.0), dtype)


def fashion_mnist_mlp(setting: Setting, dtype: torch.dtype) -> Network:
    """784-64-10 on 10,000 images of Fashion-MNIST, 50,890 parameters. Raises DataError where there are no files."""
    return in_dtype(replace(networks.fashion_mnist(setting, [4 if setting.is_quick else 64]), l2=0.0), dtype)


def lenet(setting: Setting, dtype: torch.dtype) -> Network:
    """LeNet-5 on 1,000 random images of 28 x 28 pixels: what a product costs does not depend on what they show."""
    examples = 20 if setting.is_quick else 1000
    torch.manual_seed(0)
    inputs, targets = torch.rand(examples, 1, 28, 28), torch.randint(10, (examples,))
    module = build_lenet((1, 28, 28), 10)
    return _on(setting, Network(module, inputs, targets, l2=0.0), dtype)


def attention(setting: Setting, dtype: torch.dtype) -> Network:
    """A transformer's block on the digits, their rows of 8 pixels as 8 tokens of 32 features with 4 heads."""
    flat = digits_mlp(setting, dtype)
    torch.manual_seed(0)
    return _on(setting, Network(_AttentionBlock(8, 32, 4), flat.inputs.unflatten(1, (8, 8)), flat.targets, 0.0), dtype)


def in_dtype(network: Network, dtype: torch.dtype) -> Network:
    """The same numbers in another floating-point dtype."""
    return replace(network, module=copy.deepcopy(network.module).to(dtype), inputs=network.inputs.to(dtype))


def trained(network: Network, *, steps: int = _TRAINING_STEPS) -> Network:
    """The network after so many full-batch steps of Adam at 0.01."""
    module = copy.deepcopy(network.module)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(module(network.inputs), network.targets).backward()
        optimizer.step()
    optimizer.zero_grad()
    return replace(network, module=module)


def _on(setting: Setting, network: Network, dtype: torch.dtype) -> Network:
    moved = replace(
        network,
        module=network.module.to(setting.device),
        inputs=network.inputs.to(setting.device),
        targets=network.targets.to(setting.device),
    )
    return in_dtype(moved, dtype)


class _AttentionBlock(nn.Module):
    """Tokens [B, T, width] to logits [B, 10]: attention and a tanh layer, each after a norm, added to the rest."""

    def __init__(self, width: int, features: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width, features)
        self.norm = nn.LayerNorm(features)
        self.attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.hidden = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, 2 * features), nn.Tanh(), nn.Linear(2 * features, features)
        )
        self.head = nn.Linear(features, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embed(tokens)
        normed = self.norm(embedded)
        attended = embedded + self.attention(normed, normed, normed, need_weights=False)[0]
        logits: Tensor = self.head((attended + self.hidden(attended)).mean(1))
        return logits
