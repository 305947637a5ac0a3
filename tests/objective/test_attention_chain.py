"""Transformers' blocks: products of self-attention without a graph, against double backward; what is no such block."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk
from hessrun.objective.chain import Chain

N, TOKENS, WIDTH = 5, 3, 4


class Block(nn.Module):
    """Attention and an MLP, each after a norm, added to the rest, as in most transformers; then a head."""

    def __init__(self, gather, *, attend=None, **options):
        super().__init__()
        self.embed, self.first, self.second = nn.Linear(2, WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, **{"batch_first": True, **options})
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 6), nn.GELU(), nn.Linear(6, WIDTH))
        self.head = nn.Linear(WIDTH, 3)
        self._gather, self._attend = gather, attend or (lambda m, x: m.attention(x, x, x, need_weights=False)[0])

    def forward(self, x):
        x = self.embed(x)
        x = x + self._attend(self, self.first(x))
        x = x + self.mlp(self.second(x))
        return self.head(self._gather(x))


def _with_weights(m, x):
    gathered, _ = m.attention(x, x, x)
    return gathered


BLOCKS = {
    "the mean of the tokens": lambda: Block(lambda x: x.mean(1)),
    "the mean, a function": lambda: Block(lambda x: torch.mean(x, dim=(1,))),
    "the first token": lambda: Block(lambda x: x[:, 0]),
    "the last token of a slice": lambda: Block(lambda x: x[:, 1:][:, -1]),
    "channels first": lambda: Block(lambda x: x.transpose(1, 2).mean(2)),
    "permuted": lambda: Block(lambda x: x.permute(0, 2, 1).contiguous().mean(-1)),
    "without biases": lambda: Block(lambda x: x.mean(1), bias=False),
    "the weights returned, unused": lambda: Block(lambda x: x.mean(1), attend=_with_weights),
    "evaluated": lambda: Block(lambda x: x.mean(1), dropout=0.5).eval(),
}


def _inputs():
    return torch.randn(N, TOKENS, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def _risk(module):
    return EmpiricalRisk(module.double(), functional.cross_entropy, _inputs(), torch.arange(N) % 3, chunk_size=3)


def _product(risk, V, kind, monkeypatch, *, by_graph=False):
    with monkeypatch.context() as patched:
        if by_graph:
            patched.setattr(risk, "_chain", None)
        with risk.curvature(risk.x0, kind=kind) as curvature:
            return curvature @ V


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", BLOCKS)
def test_products_are_those_of_double_backward(name, kind, monkeypatch):
    torch.manual_seed(0)
    risk = _risk(BLOCKS[name]())
    assert risk._chain is not None
    unit = torch.eye(risk.dim, dtype=risk.dtype)
    found, expected = (_product(risk, unit, kind, monkeypatch, by_graph=by_graph) for by_graph in (False, True))
    assert float(torch.linalg.matrix_norm(expected)) > 0
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)
    assert torch.linalg.matrix_norm(found - found.T) <= 1e-13 * torch.linalg.matrix_norm(expected)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize(
    "names", [["attention.in_proj_weight"], ["attention.out_proj.bias", "embed.weight"], ["head.weight"]]
)
def test_parts_of_a_block_are_frozen(names, kind, monkeypatch):
    torch.manual_seed(0)
    whole = _risk(BLOCKS["the mean of the tokens"]())
    part = whole.restricted(whole.x0, names)
    unit = torch.eye(part.dim, dtype=part.dtype)
    found, expected = (_product(part, unit, kind, monkeypatch, by_graph=by_graph) for by_graph in (False, True))
    assert torch.linalg.matrix_norm(found - expected) <= 1e-13 * torch.linalg.matrix_norm(expected)


def test_single_precision_agrees_to_its_rounding(monkeypatch):
    torch.manual_seed(0)
    risk = _risk(BLOCKS["the first token"]())
    V = torch.randn(risk.dim, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = _product(risk, V, "hessian", monkeypatch)
    single = risk.in_dtype(torch.float32)
    assert single._chain is not None
    found = _product(single, V.float(), "hessian", monkeypatch)
    assert torch.linalg.matrix_norm(found - exact) <= 1e-5 * torch.linalg.matrix_norm(exact)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(Block(lambda x: x.mean(1), batch_first=False), id="tokens first"),
        pytest.param(Block(lambda x: x.mean(1), add_zero_attn=True), id="a token of zeros"),
        pytest.param(Block(lambda x: x.mean(1), add_bias_kv=True), id="a token of its own"),
        pytest.param(Block(lambda x: x.mean(1), dropout=0.5), id="dropout"),
        pytest.param(Block(lambda x: x.mean(1), kdim=WIDTH, vdim=WIDTH, attend=lambda m, x: m.attention(
            x, m.mlp(x), x)[0]), id="of two sequences"),
        pytest.param(Block(lambda x: x.mean(1), attend=lambda m, x: m.attention(
            x, x, x, attn_mask=torch.zeros(TOKENS, TOKENS).double())[0]), id="a mask"),
        pytest.param(Block(lambda x: x.mean((1,)) + x.mean(0)), id="the mean of examples"),
        pytest.param(Block(lambda x: x.transpose(0, 1)[0]), id="examples and tokens exchanged"),
        pytest.param(Block(lambda x: x.permute(1, 0, 2)[0]), id="permuted"),
        pytest.param(Block(lambda x: x[:N, 0]), id="some examples"),
        pytest.param(Block(lambda x: x[:, x.shape[0] - N]), id="a token by the number of examples"),
        pytest.param(Block(lambda x: x[0]), id="one example"),
    ],
)  # fmt: skip
def test_what_is_no_plain_block_goes_by_graph(module):
    assert Chain.of(module.double(), (TOKENS, 2)) is None
