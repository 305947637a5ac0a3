"""The density of all eigenvalues by products, for networks whose Hessian does not fit, with its spread over probes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.linalg.deflation import Outliers, deflated, outliers
from hessrun.linalg.memory import available_bytes, require_matrices
from hessrun.linalg.quadrature import Quadrature, quadratures
from hessrun.linalg.random import normal
from hessrun.objective import Objective
from hessrun.options import integer, positive
from hessrun.record import Spectrum

_BANDWIDTH = 0.01
_MARGIN = 0.03
# One outlier may be set for so many steps: a quarter of the basis that found them is their memory.
_OF_STEPS = 4


@dataclass(frozen=True)
class Density:
    """The spectral density (1/n) sum_i delta(lambda - lambda_i), seen through random vectors ("probes").

    Each probe is an independent, unbiased look at the whole: what they differ by is the error of their mean.
    n: how many eigenvalues the density describes.
    nodes [probes, m], ascending along a row, in units of the eigenvalues; weights [probes, m], of sum 1 a row: both in
    float64 on the host; m is the smaller of steps and n, and with several probes up to a quarter more, for outliers
    that were found and have the weight 1/n. A probe whose space closed early fills its row with weight 0.
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
        return _BANDWIDTH * _range(self.nodes)

    def on(
        self, grid: Tensor, bandwidth: float | None = None, linear_threshold: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """The density smoothed by a Gaussian, at the points of grid [g]: its mean [g], and the standard error of that.

        bandwidth: the Gaussian's standard deviation, above 0, in units of the eigenvalues; 1 % of the range by default.
        linear_threshold: None; or t above 0: the smoothing and the density are those over the axis
        asinh(lambda / t), whose unit is an e-folding far from 0 (see `grid`), and bandwidth is in its units.
        With one probe the error is nan. The area under the mean over the axis is 1.
        Raises OptionError for options outside their ranges, and for the zero matrix where no bandwidth is given.
        """
        if grid.ndim != 1:
            raise OptionError(f"grid must be points [g]; got {list(grid.shape)}.")
        points, nodes = grid.double().cpu(), self.nodes
        if linear_threshold is not None:
            positive("linear_threshold", linear_threshold)
            points, nodes = (points / linear_threshold).asinh(), (nodes / linear_threshold).asinh()
        if bandwidth is None and self.bandwidth == 0:
            raise OptionError("All eigenvalues are 0, which sets no scale: give a bandwidth, a finite number above 0.")
        width = _BANDWIDTH * _range(nodes) if bandwidth is None else bandwidth
        positive("bandwidth", width)
        # Probe by probe, and so in the memory of one probe's [m, g].
        each = torch.stack(
            [
                w @ torch.exp(-0.5 * ((points - theta[:, None]) / width) ** 2)
                for theta, w in zip(nodes, self.weights, strict=True)
            ]
        ) / (width * math.sqrt(2 * math.pi))
        return each.mean(0), _standard_error(each)

    def grid(self, points: int, linear_threshold: float | None = None) -> Tensor:
        """Points [points] for `on` that cover all nodes, evenly spaced on a linear or on a symmetric logarithmic axis.

        linear_threshold: None for a linear axis; or t above 0, in units of the eigenvalues, for one on which asinh of
        lambda / t is even: linear within t of 0, logarithmic beyond. `noise` is the t below which all is rounding.
        points: 2 or above. The nodes at the ends are three bandwidths inside; with a logarithmic axis, by its own
        measure, 3 % of the axis.
        Raises OptionError for options outside their ranges, and for the zero matrix, which has no axis.
        """
        integer("points", points, minimum=2)
        if linear_threshold is not None:
            positive("linear_threshold", linear_threshold)
        if self.bandwidth == 0:
            raise OptionError("All eigenvalues are 0, which sets no scale: there is no grid to cover them.")
        low, high, margin = float(self.nodes.min()), float(self.nodes.max()), 3 * self.bandwidth
        if linear_threshold is None:
            return torch.linspace(low - margin, high + margin, points, dtype=torch.float64, device="cpu")
        low, high = math.asinh(low / linear_threshold), math.asinh(high / linear_threshold)
        margin = _MARGIN * (max(0.0, high) - min(0.0, low))
        even = torch.linspace(low - margin, high + margin, points, dtype=torch.float64, device="cpu")
        return linear_threshold * even.sinh()

    def distance(self, eigenvalues: Tensor) -> float:
        """The Wasserstein-1 distance to exact eigenvalues [n], in their units: the area between the distributions.

        W = integral of |F(t) - G(t)| dt, F the mean of the probes' step functions and G that of the eigenvalues.
        Raises OptionError where they are no vector of n finite numbers.
        """
        if eigenvalues.shape != (self.n,) or not bool(eigenvalues.isfinite().all()):
            raise OptionError(f"eigenvalues must be {self.n} finite numbers; got {list(eigenvalues.shape)}.")
        exact = eigenvalues.double().cpu()
        steps, order = torch.cat([self.nodes.flatten(), exact]).sort()
        heights = torch.cat([self.weights.flatten() / len(self.weights), torch.full_like(exact, -1 / self.n)])
        # F - G is constant between two steps.
        return float((heights[order].cumsum(0)[:-1].abs() * steps.diff()).sum())

    def moments(self, k: int) -> tuple[float, float]:
        """The mean of lambda^k over all eigenvalues, tr(H^k) / n, and its standard error; k: 0 or above.

        One probe gives v'H^k v, to rounding for k up to 2 steps - 1, and the error is nan; of several each gives this
        for the part of v in the complement of the outliers that were found. With few probes and few outliers that
        carry the mean and were not found it tends to be too small: at 20 probes of one step and 3 outliers, two errors
        held the mean in 88 % of 200 seeds.
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
    Lanczos process (Ubaru, Chen and Saad, 2017, Algorithm 1; for networks Ghorbani, Krishnan and Xiao, 2019). From two
    probes on, the outliers that one process has found are given their exact weight in the other probes' rules, and
    those of the second in the first's (`hessrun.linalg.deflation`; Bhattacharjee et al., 2025): without a further
    product, a network's density comes as near to its spectrum as with several times the probes.
    probes: random vectors, 1 or above, 2 or above for an error; steps: of each process, 1 or above; from n on the
    probe's measure is exact.
    seed: of the probes, 0 or above; they are drawn on the host, and are the same on every device.
    kind: one of `objective.curvature_kinds()`. Products are counted on `objective`: pass `objective.uncounted()` to
    look without being counted. Memory: one and a half matrices [steps, n] and the probes at least, another matrix for
    each probe where a quarter of the limit holds them: these go in lock-step.

    Raises OptionError for options outside their ranges, NotFiniteError where a product is not finite, TooLargeError
    where the memory does not suffice.
    """
    for name, value, minimum in (("probes", probes, 1), ("steps", steps, 1), ("seed", seed, 0)):
        integer(name, value, minimum=minimum)
    n, dtype, device = objective.dim, objective.dtype, objective.device
    m = min(steps, n)
    vectors = 1.5 * m + probes
    what, instead = f"A density of {probes} probes of {steps} steps", "fewer probes" if probes > m else "fewer steps"
    require_matrices(vectors / n, n, dtype, device, what=what, instead=instead)
    generator = torch.Generator().manual_seed(seed)
    # Together where all their vectors fit, since products of several at once may be cheaper; in groups elsewhere.
    group = min(probes, max(1, int(available_bytes(device) // (4 * m * n * dtype.itemsize))))
    views: list[_View] = []
    with objective.curvature(x, kind=kind) as curvature:
        for first in range(0, probes, group):
            starts = [normal(n, generator=generator) for _ in range(min(group, probes - first))]
            V = torch.stack(starts, dim=1).to(dtype=dtype, device=device)
            views += [
                _View.of(rule, m // _OF_STEPS if probes > 1 and index < 2 else 0)
                for index, rule in enumerate(quadratures(lambda V: curvature @ V, V, m), start=first)
            ]
    # Which vector stands for an eigenvalue that is repeated must not depend on the probe that it is taken from.
    known = [views[min(1, probes - 1)].known, *[views[0].known] * (probes - 1)]
    rules = [deflated(v.nodes, v.weights, v.start, k) for v, k in zip(views, known, strict=True)]
    width = max(len(nodes) for nodes, _ in rules)
    return Density(
        n=n,
        nodes=torch.stack([torch.cat([nodes, nodes[-1:].expand(width - len(nodes))]) for nodes, _ in rules]),
        weights=torch.stack([torch.cat([weights, weights.new_zeros(width - len(weights))]) for _, weights in rules]),
        products=sum(len(view.nodes) for view in views),
        noise=max(view.noise for view in views),
    )


@dataclass(frozen=True)
class _View:
    """What is seen from a probe: its unit vector start [n], the Gauss rule, and the outliers that it found."""

    start: Tensor
    nodes: Tensor
    weights: Tensor
    noise: float
    known: Outliers

    @classmethod
    def of(cls, rule: Quadrature, count: int) -> "_View":
        """Without the rule's basis, which would keep [steps, n] in memory."""
        return cls(rule.basis[0].clone(), rule.nodes, rule.weights, rule.noise, outliers(rule, count))


def _range(nodes: Tensor) -> float:
    """With 0 included."""
    return max(0.0, float(nodes.max())) - min(0.0, float(nodes.min()))


def _standard_error(each: Tensor) -> Tensor:
    """Of the mean over the first dimension; nan where there is nothing to compare."""
    if len(each) < 2:
        return torch.full_like(each[0], math.nan)
    return each.std(0) / math.sqrt(len(each))
