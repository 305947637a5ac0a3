"""The weights of a quadrature where they need not be estimated: at eigenvalues whose vectors are known.

Seen from a random unit vector v [n], a simple eigenvalue has the weight (u'v)^2: 1/n in the mean, with a spread of 1.4
times that, and where an eigenvalue lies far from the rest this spread is most of the error. Lanczos finds such a u on
its way. The share (u'v)^2 is then moved from the nodes around to the eigenvalue itself, as 1/n, and what is left, the
view from v's part in the complement, is brought to the complement's share (the variance-reduced quadrature of
Bhattacharjee, Jayaram, Musco, Musco and Ray, 2025, "Improved spectral density estimation via explicit and implicit
deflation").

There all of an eigenvalue's weight is set to 1/n. Here u comes from another process than the one whose weights it
mends: of an eigenvalue that is repeated u takes one copy away, and the others remain to be seen from v.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessrun.linalg.quadrature import Quadrature

# Of the largest |node|. The value's own error is of second order in the residual, and it carries 1/n of the weight.
_CONVERGED = 1e-3


@dataclass(frozen=True)
class Outliers:
    """Eigenvalues, values [k] in float64 on the host, and their vectors [k, n], unit rows."""

    values: Tensor
    vectors: Tensor


def outliers(rule: Quadrature, count: int) -> Outliers:
    """The Ritz pairs of largest |value| with residuals of 1e-3 of the largest or less, `count` at most."""
    sizes = rule.nodes.abs()
    converged = (rule.residuals <= _CONVERGED * sizes.max()).nonzero().flatten()
    chosen = converged[sizes[converged].argsort(descending=True)[:count]]
    return Outliers(rule.nodes[chosen], rule.modes[:, chosen].T.to(rule.basis) @ rule.basis)


def deflated(nodes: Tensor, weights: Tensor, v: Tensor, known: Outliers) -> tuple[Tensor, Tensor]:
    """The rule with nodes and weights [m], seen from the unit vector v [n]: with k known eigenvalues, [m + k] of both.

    nodes ascend, weights are 0 or above and sum to 1, in float64 on the host. Where v lies in the span of what is
    known, and tells nothing of the complement, the rule is left as it is, with k nodes of weight 0.
    """
    k, n = len(known.values), len(v)
    shares = ((known.vectors @ v) ** 2).double().cpu().numpy()
    theta, left = nodes.numpy(), weights.numpy().copy()
    for value, share in zip(known.values.numpy(), shares, strict=True):
        for nearest in np.abs(theta - value).argsort():
            moved = min(share, left[nearest])
            left[nearest] -= moved
            share -= moved
            if share <= 0:
                break
    rest, own = left.sum(), 1 / n
    if rest <= np.finfo(np.float64).eps:
        rest, own, left = 1.0, 0.0, weights.numpy()
    scaled = left * ((1 - k * own) / rest)
    order = np.argsort(all_nodes := np.concatenate([theta, known.values.numpy()]), kind="stable")
    return (
        torch.from_numpy(all_nodes[order]),
        torch.from_numpy(np.concatenate([scaled, np.full(k, own)])[order]),
    )
