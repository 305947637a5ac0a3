"""How PyHessian, curvlinops with scipy's eigsh, and hessian-eigenthings are called: as their own documentation shows.

Every call makes the peer's operator anew, as ours linearises anew: both start from a module and its examples.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.networks import Network

# The modules that the benchmark imports, and the packages that bring them.
PACKAGES = {
    "pyhessian": "pyhessian",
    "curvlinops": "curvlinops-for-pytorch",
    "hessian_eigenthings": "hessian-eigenthings",
    "scipy": "scipy",
}
# Power iterations for one eigenvalue at most: its default of 100 ends them long before they arrive.
_POWER_ITERATIONS = 2_000


@dataclass(frozen=True)
class Pairs:
    """values [k], vectors [n, k] of unit length, in any order; on the host in float64."""

    values: Tensor
    vectors: Tensor


@dataclass(frozen=True)
class Peer:
    """name: with the setting that varies; find: (network, k, setting) -> pairs; settings: from the cheapest on.

    by_magnitude: it can look for the largest |lambda| alone, which is then what it is held to.
    """

    name: str
    find: Callable[[Network, int, float], Pairs]
    settings: Sequence[float] = field(repr=False)
    by_magnitude: bool = False


def pyhessian_top(network: Network, k: int, tolerance: float) -> Pairs:
    """Power iterations with deflation, until the eigenvalue changes by less than the tolerance, relative to itself."""
    from pyhessian import hessian

    torch.manual_seed(0)
    module = _fresh(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its backward with create_graph
        on_cuda = network.inputs.device.type == "cuda"
        made = hessian(module, cross_entropy, data=(network.inputs, network.targets), cuda=on_cuda)
        values, vectors = made.eigenvalues(maxIter=_POWER_ITERATIONS, tol=tolerance, top_n=k)
    # The gradients hold their own graph.
    module.zero_grad()
    return _pairs(torch.tensor(values), torch.stack([torch.cat([p.reshape(-1) for p in v]) for v in vectors], dim=1))


def curvlinops_top(network: Network, k: int, tolerance: float) -> Pairs:
    """eigsh on the Hessian as an operator of scipy's; ARPACK's tolerance is relative to each eigenvalue.

    scipy's BLAS has one thread, which is as fast here: others would go on spinning in the turn of whoever comes next.
    """
    import scipy.sparse.linalg
    from threadpoolctl import ThreadpoolController

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports uses torch.jit.script
        from curvlinops import HessianLinearOperator

    module = _fresh(network)
    # The check costs some products; ours checks once, when the risk is made.
    operator = HessianLinearOperator(
        module,
        nn.CrossEntropyLoss(),
        list(module.parameters()),
        [(network.inputs, network.targets)],
        check_deterministic=False,
    ).to_scipy()
    start = np.random.default_rng(0).standard_normal(operator.shape[0])
    of_scipy = ThreadpoolController().select(internal_api="openblas")
    with warnings.catch_warnings(), of_scipy.limit(limits=1):
        warnings.simplefilter("ignore")  # torch's own torch.jit.script, at its first forward derivative
        values, vectors = scipy.sparse.linalg.eigsh(operator, k=k, which="LA", tol=tolerance, v0=start)
    return _pairs(torch.from_numpy(values), torch.from_numpy(vectors))


def eigenthings_top(network: Network, k: int, steps: float) -> Pairs:
    """Lanczos of so many steps, reorthogonalised whatever their number."""
    from hessian_eigenthings import lanczos

    found = lanczos(_eigenthings(network), k=k, max_iter=int(steps), which="LA", reorthogonalize=True, seed=0)
    return _pairs(found.eigenvalues, found.eigenvectors.T)


def eigenthings_density(network: Network, *, probes: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """Nodes [probes, m] and weights [probes, m]; it smooths them on 10,000 points besides."""
    from hessian_eigenthings import spectral_density

    found = spectral_density(_eigenthings(network), num_runs=probes, lanczos_steps=steps, seed=seed)
    return found.raw_eigenvalues, found.raw_weights


def top_peers(n: int, k: int, *, is_quick: bool = False) -> tuple[Peer, ...]:
    """All that find extreme eigenvalues of a matrix of order n, with settings up to where nothing more is gained."""
    changes = [10.0 ** (-exponent / 2) for exponent in range(6, 9 if is_quick else 21)]
    tolerances = [10.0 ** (-exponent / 2) for exponent in range(2, 25)]
    steps = range(min(2 * k, n), min(600, n) + 1, 10 if is_quick else 2)
    return (
        Peer("PyHessian", pyhessian_top, changes, by_magnitude=True),
        Peer("curvlinops+eigsh", curvlinops_top, tolerances),
        Peer("eigenthings", eigenthings_top, list(steps)),
    )


def _eigenthings(network: Network):  # type: ignore[no-untyped-def]
    from hessian_eigenthings import HessianOperator, supervised_loss

    return HessianOperator(_fresh(network), [(network.inputs, network.targets)], supervised_loss(cross_entropy))


def _fresh(network: Network) -> nn.Module:
    """A copy, since PyHessian writes to the gradients of what it is given and adds to those that are there."""
    return copy.deepcopy(network.module)


def _pairs(values: Tensor, vectors: Tensor) -> Pairs:
    flat = vectors.detach().double().cpu()
    return Pairs(values.detach().double().cpu(), flat / torch.linalg.vector_norm(flat, dim=0))
