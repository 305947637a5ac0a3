"""The density of all eigenvalues by products, for networks whose Hessian does not fit, with its spread over probes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.memory import require_matrices
from hessrun.linalg.quadrature import quadrature
from hessrun.objective import Objective
from hessrun.options import integer, positive
from hessrun.record import Spectrum

_BANDWIDTH = 0.01


@dataclass(frozen=True)
class Density:
    """The spectral density (1/n) sum_i delta(lambda - lambda_i), seen through random vectors ("probes").

    Each probe is an independent, unbiased look at the whole: what they differ by is the error of their mean.
    n: how many eigenvalues the density describes.
    nodes [probes, m], ascending along a row, in units of the eigenvalues; weights [probes, m], of sum 1 a row: both in
    float64 on the host; m is the smaller of steps and n. A probe whose space closed early fills its row with weight 0.
    products: applications of the matrix; noise: the largest asymmetry of them, in units of the eigenvalues: structure
    finer than that is rounding.
    """

    n: int
    nodes: Tensor
    weights: Tensor
    products: int
    noise: float

    @property
    def bandwidth(self) -> float:
        """The default width of `on`: 1 % of the range of the nodes, 0 included; 0 for the zero matrix."""
        return _BANDWIDTH * (max(0.0, float(self.nodes.max())) - min(0.0, float(self.nodes.min())))

    def on(self, grid: Tensor, bandwidth: float | None = None) -> tuple[Tensor, Tensor]:
        """The density smoothed by a Gaussian, at the points of grid [g]: its mean [g], and the standard error of that.

        bandwidth: the Gaussian's standard deviation, above 0, in units of the eigenvalues. With one probe the error is
        nan. The area under the mean is 1.
        Raises OptionError for options outside their ranges, and for the zero matrix where no bandwidth is given.
        """
        if grid.ndim != 1:
            raise OptionError(f"grid must be points [g]; got {list(grid.shape)}.")
        if bandwidth is None and self.bandwidth == 0:
            raise OptionError("All eigenvalues are 0, which sets no scale: give a bandwidth, a finite number above 0.")
        width = self.bandwidth if bandwidth is None else bandwidth
        positive("bandwidth", width)
        points = grid.double().cpu()
        # Probe by probe, and so in the memory of one probe's [m, g].
        each = torch.stack(
            [
                w @ torch.exp(-0.5 * ((points - theta[:, None]) / width) ** 2)
                for theta, w in zip(self.nodes, self.weights, strict=True)
            ]
        ) / (width * math.sqrt(2 * math.pi))
        return each.mean(0), _standard_error(each)

    def moments(self, k: int) -> tuple[float, float]:
        """The mean of lambda^k over all eigenvalues, tr(H^k) / n, and its standard error; k: 0 or above.

        Each probe gives v'H^k v, to rounding for k up to 2 m - 1. With one probe the error is nan. With few probes and
        few outliers that carry the mean it tends to be too small: at 20 probes and 3 outliers, two errors held the mean
        in 88 % of 200 seeds.
        """
        integer("k", k, minimum=0)
        each = (self.weights * self.nodes**k).sum(1)
        return float(each.mean()), float(_standard_error(each))

    def as_spectrum(self, *, step: int = 0) -> Spectrum:
        """The density as the record keeps it (kind `density`), with the outermost nodes as its ends.

        The noise floor is the measured asymmetry of the products.
        """
        return Spectrum(
            step=step,
            n=self.n,
            kind="density",
            largest=self.nodes.max().reshape(1).numpy(),
            smallest=self.nodes.min().reshape(1).numpy(),
            density_nodes=self.nodes.numpy(),
            density_weights=self.weights.numpy(),
            noise_floor=self.noise,
            noise_floor_source="asymmetry of the products in the Lanczos basis",
            products=float(self.products),
        )


def density(
    objective: Objective,
    x: Tensor,
    *,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    kind: str = "hessian",
) -> Density:
    """The spectral density of the Hessian at x [n] by stochastic Lanczos quadrature, in probes * steps products.

    E[v'f(H)v] = tr f(H) / n for v uniform on the unit sphere; each v'f(H)v is taken by the Gauss rule of its own
    Lanczos process (Ubaru, Chen and Saad, 2017, Algorithm 1; for networks Ghorbani, Krishnan and Xiao, 2019).
    probes: random vectors, 1 or above, 2 or above for an error; steps: of each process, 1 or above; from n on the
    probe's measure is exact.
    seed: of the probes, 0 or above; they are drawn on the host, and are the same on every device.
    kind: one of `objective.curvature_kinds()`. Products are counted on `objective`: pass `objective.uncounted()` to
    look without being counted. Memory: a matrix [steps, n].

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite, TooLargeError
    where the memory does not suffice.
    """
    for name, value, minimum in (("probes", probes, 1), ("steps", steps, 1), ("seed", seed, 0)):
        integer(name, value, minimum=minimum)
    n, dtype, device = objective.dim, objective.dtype, objective.device
    m = min(steps, n)
    require_matrices(m / n, n, dtype, device, what=f"A density of {steps} steps", instead="fewer steps")
    generator = torch.Generator().manual_seed(seed)
    with objective.curvature(x, kind=kind) as curvature:
        rules = []
        for _ in range(probes):
            v = torch.randn(n, generator=generator, dtype=torch.float64, device="cpu")
            rules.append(quadrature(lambda v: curvature @ v, v.to(dtype=dtype, device=device), m))
    return Density(
        n=n,
        nodes=torch.stack([torch.cat([r.nodes, r.nodes[-1:].expand(m - len(r.nodes))]) for r in rules]),
        weights=torch.stack([torch.cat([r.weights, r.weights.new_zeros(m - len(r.nodes))]) for r in rules]),
        products=sum(len(r.nodes) for r in rules),
        noise=max(r.noise for r in rules),
    )


def _standard_error(each: Tensor) -> Tensor:
    """Of the mean over the first dimension; nan where there is nothing to compare."""
    if len(each) < 2:
        return torch.full_like(each[0], math.nan)
    return each.std(0) / math.sqrt(len(each))
