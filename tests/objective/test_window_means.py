"""Means of windows: torch's, and handed back to torch where windows overlap or leave a rest."""

import pytest
import torch
from torch import nn

from hessrun.objective.windows import WindowMeans


@pytest.mark.parametrize("window", [2, (1, 3), (3, 2), (6, 12)])
def test_they_and_their_adjoint_are_those_of_torch(window):
    layer, generator = nn.AvgPool2d(window), torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 2, 6, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    expected = layer(inputs)
    adjoint = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    link = WindowMeans.of(layer, inputs.detach())
    assert link is not None
    torch.testing.assert_close(link.output, expected.detach(), rtol=0, atol=1e-15)
    (back,) = torch.autograd.grad(expected, inputs, adjoint)
    torch.testing.assert_close(link.back(adjoint), back, rtol=0, atol=1e-15)
    tangents = inputs.detach().repeat(4, 1, 1, 1, 1)
    pushed, kept = link.push(tangents, [])
    assert torch.equal(pushed, link.output.expand_as(pushed))
    pulled = link.pull(adjoint.unsqueeze(0), kept, [])
    assert torch.equal(pulled[0], link.back(adjoint))


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(4),  # 6 is no multiple
        nn.AvgPool2d(2, stride=1),
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    ],
)
def test_other_layers_are_none(layer):
    assert WindowMeans.of(layer, torch.zeros(1, 2, 6, 12)) is None
