"""What is right, found apart from hessrun: by torch.func on a network's function in float64, and by scipy."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bench.curvature.networks import in_dtype
from bench.curvature.peers import Pairs
from bench.networks import Network

# Up to this order the whole Hessian is taken.
_DENSE = 5000
_COLUMNS = 128


class Truth:
    """The Hessian of a network at its parameters, in float64, for counts and errors off the clock."""

    def __init__(self, network: Network) -> None:
        double = in_dtype(network, torch.float64)
        self._f: Callable[[Tensor], Tensor] = double.function()
        self._x = torch.nn.utils.parameters_to_vector(double.module.parameters()).detach()
        x = self._x.clone().requires_grad_()
        (self._gradient,) = torch.autograd.grad(self._f(x), x, create_graph=True)
        self._leaf, self.n = x, len(x)

    def product(self, v: Tensor) -> Tensor:
        """H v, [n]."""
        return torch.autograd.grad(self._gradient, self._leaf, v.to(self._x), retain_graph=True)[0]

    @cached_property
    def eigenvalues(self) -> Tensor:
        """All of them, ascending, on the host; for orders up to 5,000."""
        columns = torch.func.jacrev(torch.func.grad(self._f), chunk_size=_COLUMNS)
        H = columns(self._x)
        return torch.linalg.eigvalsh(0.5 * (H + H.T)).cpu()

    def top(self, k: int, *, by_magnitude: bool) -> Tensor:
        """The k largest eigenvalues, or the k of largest |lambda|, in descending order."""
        if self.n > _DENSE:
            return self._iterated(k, "LM" if by_magnitude else "LA")
        values = self.eigenvalues
        chosen = values[values.abs().argsort(descending=True)[:k]] if by_magnitude else values[-k:]
        return chosen.sort(descending=True).values

    def _iterated(self, k: int, which: str) -> Tensor:
        """eigsh to rounding in a space of six times as many vectors, with a few more values than are asked for."""
        import scipy.sparse.linalg

        def apply(v: np.ndarray) -> np.ndarray:
            return self.product(torch.from_numpy(v.reshape(-1))).cpu().numpy()

        operator = scipy.sparse.linalg.LinearOperator((self.n, self.n), matvec=apply, dtype=np.float64)
        start = np.random.default_rng(1).standard_normal(self.n)
        values = scipy.sparse.linalg.eigsh(
            operator, k=k + 5, ncv=6 * (k + 5), which=which, tol=1e-10, v0=start, return_eigenvectors=False
        )
        found = torch.from_numpy(values.copy())
        kept = found[found.abs().argsort(descending=True)[:k]] if which == "LM" else found.sort().values[-k:]
        return kept.sort(descending=True).values

    def errors(self, pairs: Pairs, values: Tensor) -> tuple[float, float]:
        """The worst error of the values beside the true ones [k], and the worst residual, both over the largest.

        Not finite where the pairs are fewer than the values.
        """
        if len(pairs.values) != len(values):
            return float("inf"), float("inf")
        scale = float(values.abs().max())
        wrong = (pairs.values.sort(descending=True).values - values).abs().max()
        residuals = torch.stack(
            [
                torch.linalg.vector_norm(self.product(v).cpu() - theta * v)
                for theta, v in zip(pairs.values, pairs.vectors.T, strict=True)
            ]
        )
        return float(wrong) / scale, float(residuals.max()) / scale
