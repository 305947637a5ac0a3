"""Self-attention between its two projections, as a layer and as a link of a chain."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.objective.links import Link, Vectors


class AttentionHeads(nn.Module):
    """Queries, keys and values side by side, [B, T, 3 E], to what each head gathers, [B, T, E]."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, projected: Tensor) -> Tensor:
        q, k, v = split_heads(projected, self.heads)
        return join_heads(functional.scaled_dot_product_attention(q, k, v))


def projections_of(layer: nn.MultiheadAttention) -> tuple[nn.Linear, nn.Linear]:
    """What `layer` applies before its heads, [E] -> [3 E], and after them: plain layers with its own parameters."""
    return _linear(layer, "in_proj_"), _linear(layer, "out_proj.")


def _linear(layer: nn.MultiheadAttention, prefix: str) -> nn.Linear:
    own = dict(layer.named_parameters())
    weight, bias = own[f"{prefix}weight"], own.get(f"{prefix}bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = weight
    if bias is not None:
        made.bias = bias
    return made


def is_plain(layer: nn.MultiheadAttention) -> bool:
    """Whether it does no more than project, attend and project: one width, no dropout, no rows of its own."""
    one_width = layer._qkv_same_embed_dim and layer.batch_first
    return one_width and layer.bias_k is None and not layer.add_zero_attn and not (layer.training and layer.dropout)


class Attention(Link):
    """O = P V with P = softmax(S) by rows and S = Q K' / sqrt(d), in each head (Vaswani et al., 2017, eq. 1).

    With bars for adjoints and C = P^ - sum(P P^) by rows, P^ being the adjoint of P: S^ = P C, and a dot for tangents:

    dP = P (dS - sum(P dS)),  dS^ = dP C + P (dP^ - sum(dP C + P dP^)).
    """

    def __init__(self, layer: AttentionHeads, inputs: Tensor) -> None:
        self._heads = layer.heads
        self._q, self._k, self._v = split_heads(inputs, self._heads)
        self._scale = 1 / math.sqrt(self._q.shape[-1])
        self._P = torch.softmax(self._scale * (self._q @ self._k.mT), dim=-1)
        self.output = join_heads(self._P @ self._v)
        self._adjoint: Tensor | None = None

    def back(self, adjoint: Tensor) -> Tensor:
        (self._adjoint,) = split_heads(adjoint, self._heads, parts=1)
        slopes = self._adjoint @ self._v.mT
        self._centred = slopes - (self._P * slopes).sum(-1, keepdim=True)
        self._S = self._P * self._centred
        return self._packed(self._S @ self._k, self._S.mT @ self._q, self._P.mT @ self._adjoint)

    def push(self, tangent: Tensor, vectors: Vectors) -> tuple[Tensor, Any]:
        q, k, v = split_heads(tangent, self._heads)
        S = (q @ self._k.mT).add_(self._q @ k.mT).mul_(self._scale)
        P = self._P * (S - (self._P * S).sum(-1, keepdim=True))
        return join_heads((P @ self._v).add_(self._P @ v)), (q, k, v, P)

    def pull(self, pulled: Tensor, pushed: Any, vectors: Vectors) -> Tensor:
        (adjoint,) = split_heads(pulled, self._heads, parts=1)
        slopes, to_v = adjoint @ self._v.mT, self._P.mT @ adjoint
        if self._adjoint is None:
            slopes.mul_(self._P)
            S = slopes.addcmul_(self._P, slopes.sum(-1, keepdim=True), value=-1)
            return self._packed(S @ self._k, S.mT @ self._q, to_v)
        q, k, v, P = pushed
        slopes.add_(self._adjoint @ v.mT).mul_(self._P).addcmul_(P, self._centred)
        S = slopes.addcmul_(self._P, slopes.sum(-1, keepdim=True), value=-1)
        to_q, to_k = (S @ self._k).add_(self._S @ k), (S.mT @ self._q).add_(self._S.mT @ q)
        return self._packed(to_q, to_k, to_v.add_(P.mT @ self._adjoint))

    def _packed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The adjoints of all three side by side, those of q and k times the scale still."""
        return torch.cat([join_heads(q.mul_(self._scale)), join_heads(k.mul_(self._scale)), join_heads(v)], dim=-1)


def split_heads(joined: Tensor, heads: int, *, parts: int = 3) -> tuple[Tensor, ...]:
    """[..., T, parts * E] -> for each part [..., heads, T, E / heads]."""
    return tuple(torch.unflatten(part, -1, (heads, -1)).transpose(-3, -2) for part in joined.chunk(parts, dim=-1))


def join_heads(split: Tensor) -> Tensor:
    """[..., heads, T, E / heads] -> [..., T, E]."""
    return split.transpose(-3, -2).flatten(-2)
