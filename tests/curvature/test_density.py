"""Spectral densities of objectives against dense eigenvalues and against what random-matrix theory foretells."""

import math
import statistics
import sys

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.nn import functional

from hessrun.curvature import Density, density, eigenvalues
from hessrun.errors import NotFiniteError, OptionError, TooLargeError
from hessrun.linalg.quadrature import quadratures
from hessrun.objective import EmpiricalRisk, Objective, as_objective


def _matrix(values: Tensor, seed: int = 0) -> Tensor:
    n, generator = len(values), torch.Generator().manual_seed(seed)
    U = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    H = U * values.double() @ U.T
    return (H + H.T) / 2


def _objective(H: Tensor) -> tuple[Objective, Tensor]:
    x = torch.zeros(len(H), dtype=H.dtype)
    return as_objective(lambda x: 0.5 * torch.dot(x, H @ x), x), x


def _network(dtype: torch.dtype = torch.float64) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (40,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 3)).to(dtype)
    return EmpiricalRisk(module, functional.cross_entropy, inputs.to(dtype), labels)


def _distance(found: Density, exact: Tensor) -> float:
    nodes, weights = found.nodes.flatten().numpy(), found.weights.flatten().numpy()
    return float(wasserstein_distance(nodes, exact.numpy(), weights))


def test_a_single_probe_has_the_moments_of_its_own_vector() -> None:
    """The probe is the normalised draw of the seed: v'H^k v by the dense matrix, up to k = 2 m - 1."""
    risk, m = _network(), 6
    H = risk.hessian(risk.x0)
    found = density(risk, risk.x0, probes=1, steps=m, seed=4)
    assert found.nodes.shape == found.weights.shape == (1, m)
    assert float(found.weights.sum()) == pytest.approx(1, abs=1e-14)
    v = torch.randn(risk.dim, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    v = v / v.norm()
    power, scale = v, float(torch.linalg.matrix_norm(H, 2))
    for k in range(2 * m):
        moment = float((found.weights * (found.nodes / scale) ** k).sum())
        assert moment == pytest.approx(float(v @ power), abs=1e-13)
        power = H @ power / scale


def test_of_several_probes_each_has_the_outliers_whole_and_the_moments_of_its_part_in_their_complement() -> None:
    """The probes are the normalised draws of the seed; the eigenvectors are those of the dense matrix."""
    values = torch.cat([torch.tensor([40.0, 20.0, -10.0]), torch.linspace(-0.5, 1, 97)])
    H, n, m = _matrix(values), 100, 12
    objective, x = _objective(H)
    found = density(objective, x, probes=3, steps=m, seed=4)
    assert found.nodes.shape == found.weights.shape == (3, m + 3)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-14)
    assert bool((found.nodes.diff(dim=1) >= 0).all())
    theta, U = torch.linalg.eigh(H)
    outlying = theta.abs() > 5
    U = U[:, outlying]
    generator = torch.Generator().manual_seed(4)
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        assert float(weights[nodes.abs() > 5].sum()) == pytest.approx(3 / n, abs=1e-12)
        v = torch.randn(n, generator=generator, dtype=torch.float64)
        v = v - U @ (U.T @ v)
        power = v / v.norm()
        for k in range(2 * m):
            known = float((theta[outlying] / 40) ** k @ torch.full((3,), 1 / n, dtype=torch.float64))
            unknown = (1 - 3 / n) * float(v @ power / v.norm())
            assert float((weights * (nodes / 40) ** k).sum()) == pytest.approx(known + unknown, abs=1e-10)
            power = H @ power / 40


def test_what_is_known_of_outliers_brings_the_density_nearer_to_the_spectrum() -> None:
    """The mean distance over 8 seeds is less than half of that of the same probes seen one by one."""
    exact = torch.cat([1.5 ** torch.arange(12.0), 0.3 * torch.linspace(-1, 1, 288) ** 3]).double()
    H = _matrix(exact)
    objective, x = _objective(H)
    together, apart = [], []
    for seed in range(8):
        together.append(density(objective, x, probes=8, steps=60, seed=seed).distance(exact))
        generator = torch.Generator().manual_seed(seed)
        starts = torch.stack([torch.randn(300, generator=generator, dtype=torch.float64) for _ in range(8)], dim=1)
        rules = quadratures(lambda V: H @ V, starts, 60)
        nodes, weights = torch.stack([r.nodes for r in rules]), torch.stack([r.weights for r in rules])
        apart.append(Density(n=300, nodes=nodes, weights=weights, products=480, noise=0.0).distance(exact))
    assert statistics.fmean(together) < 0.5 * statistics.fmean(apart)


def test_products_are_counted_and_nothing_else_is() -> None:
    risk = _network()
    found = density(risk, risk.x0, probes=3, steps=7)
    assert found.products == 21
    assert risk.counts.products == 21
    assert risk.counts.values == risk.counts.gradients == risk.counts.hessian_columns == 0
    density(risk.uncounted(), risk.x0, probes=3, steps=7)
    assert risk.counts.products == 21


def test_the_seed_decides_the_probes() -> None:
    risk = _network()
    one, again, other = (density(risk, risk.x0, probes=2, steps=8, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.nodes, again.nodes)
    assert torch.equal(one.weights, again.weights)
    assert not torch.equal(one.nodes, other.nodes)


def test_the_module_the_point_and_the_generator_are_left_alone() -> None:
    risk = _network()
    before, x, state = risk.state_dict(risk.x0), risk.x0.clone(), torch.random.get_rng_state()
    density(risk, risk.x0, probes=2, steps=5)
    assert torch.equal(risk.x0, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in risk.module.state_dict().items())


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_moments_agree_with_the_dense_matrix_within_their_error(kind: str) -> None:
    risk = _network()
    with risk.curvature(risk.x0, kind=kind) as curvature:
        dense = torch.linalg.eigvalsh(curvature @ torch.eye(risk.dim, dtype=torch.float64))
    found = density(risk, risk.x0, probes=40, steps=10, kind=kind)
    assert found.moments(0) == pytest.approx((1, 0), abs=1e-14)
    for k in (1, 2, 3):
        mean, error = found.moments(k)
        assert error > 0
        assert abs(mean - float((dense**k).mean())) < 3 * error


@pytest.mark.parametrize(
    ("values", "at_least"),
    [
        (torch.linspace(-0.5, 1, 100), 180),
        # A few outliers carry the mean here, and what the probes see of it is skewed.
        (torch.cat([torch.tensor([30.0, 20.0, 10.0]), torch.linspace(-0.5, 1, 97)]), 170),
    ],
    ids=["bulk", "outliers"],
)
def test_two_standard_errors_of_twenty_probes_hold_the_mean_eigenvalue(values: Tensor, at_least: int) -> None:
    """In 90 % of 200 seeds, or in 85 % where outliers carry it."""
    H = _matrix(values)
    objective, x = _objective(H)
    true, held = float(H.diagonal().mean()), 0
    for seed in range(200):
        mean, error = density(objective, x, probes=20, steps=1, seed=seed).moments(1)
        held += abs(mean - true) <= 2 * error
    assert held >= at_least


def test_the_distance_to_the_exact_spectrum_is_small_and_falls() -> None:
    exact = torch.cat([torch.tensor([8.0, 5.0, -2.0]), torch.linspace(-0.5, 1, 297)]).double()
    objective, x = _objective(_matrix(exact))
    span = 10.0
    by_steps = [_distance(density(objective, x, probes=10, steps=m), exact) for m in (2, 5, 80)]
    assert by_steps[0] > by_steps[1] > by_steps[2]
    assert by_steps[2] < 0.01 * span
    over_seeds = [
        sum(_distance(density(objective, x, probes=p, steps=40, seed=seed), exact) for seed in range(5)) / 5
        for p in (1, 4, 16)
    ]
    assert over_seeds[0] > over_seeds[1] > over_seeds[2]


def test_a_whole_basis_knows_every_eigenvalue() -> None:
    """With steps of n or more all nodes are eigenvalues; of the weights only those of the lesser ones are random."""
    risk = _network()
    dense = torch.linalg.eigvalsh(risk.hessian(risk.x0))
    found = density(risk, risk.x0, probes=2, steps=1000)
    assert risk.dim // 4 < found.nodes.shape[1] <= risk.dim + risk.dim // 4
    gaps = (found.nodes[:, :, None] - dense).abs().amin(2)
    # A node of next to no weight is rounding, and stands for nothing.
    assert float(gaps[found.weights > 1e-12].max()) < 1e-7 * float(dense.abs().max())
    assert found.products <= 2 * risk.dim


def test_a_spiked_wishart_matrix_shows_its_outliers_and_its_edge() -> None:
    """diag(5, 4, 3, 0, ..) + ZZ'/n, Z [n, n]: outliers at t^2 / (t - 1), the bulk on [0, 4] (Marchenko and Pastur)."""
    n = 1000
    Z = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spikes = torch.zeros(n, dtype=torch.float64)
    spikes[:3] = torch.tensor([5.0, 4.0, 3.0])
    H = Z @ Z.T / n + torch.diag(spikes)
    objective, x = _objective(H)
    found = density(objective, x, probes=4, steps=80)
    theory = torch.tensor([4.5, 16 / 3, 6.25], dtype=torch.float64)
    dense = torch.linalg.eigvalsh(H)[-3:]
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        outlying = (nodes > 4.2) & (weights > 1e-6)
        torch.testing.assert_close(nodes[outlying], dense, rtol=1e-6, atol=0)
        torch.testing.assert_close(nodes[outlying], theory, rtol=0.05, atol=0)
        torch.testing.assert_close(weights[outlying], torch.full((3,), 1 / n, dtype=torch.float64), rtol=1e-3, atol=0)
        assert float(nodes[nodes < 4.2].max()) == pytest.approx(4, abs=0.1)
        assert float(nodes[0]) > -1e-12
    points = torch.linspace(0.5, 3.5, 7, dtype=torch.float64)
    mean, error = found.on(points, bandwidth=0.1)
    bulk = torch.sqrt(points * (4 - points)) / (2 * math.pi * points)
    assert bool(((mean - bulk).abs() < 0.02 + 3 * error).all())


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        (torch.cat([torch.full((20,), 3.0), torch.full((60,), -1.0)]), [-1.0, 3.0]),
        (torch.cat([torch.tensor([4.0, 2.0]), torch.zeros(78)]), [0.0, 2.0, 4.0]),
        (torch.full((80,), 7.0), [7.0]),
    ],
)
def test_repeated_and_rank_deficient_matrices_end_early(values: Tensor, distinct: list[float]) -> None:
    objective, x = _objective(_matrix(values))
    found = density(objective, x, probes=5, steps=30)
    assert found.products == objective.counts.products == 5 * len(distinct)
    # Each probe sees every eigenvalue, and one copy of it more from the vector that another found.
    assert found.nodes.shape == (5, 2 * len(distinct))
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        assert nodes.tolist() == pytest.approx(sorted(2 * distinct), abs=1e-12)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    for value in distinct:
        share = torch.where((found.nodes - value).abs() < 1e-9, found.weights, 0).sum(1)
        true = float((values == value).double().mean())
        assert abs(float(share.mean()) - true) <= 4 * float(share.std()) / math.sqrt(5) + 1e-13


def test_smoothing_is_a_density_with_its_error() -> None:
    objective, x = _objective(_matrix(torch.linspace(-1, 3, 100)))
    found = density(objective, x, probes=6, steps=20)
    low, high = float(found.nodes.min()), float(found.nodes.max())
    assert found.bandwidth == pytest.approx(0.01 * (high - low))
    grid = torch.linspace(-1.5, 3.5, 4001, dtype=torch.float64)
    mean, error = found.on(grid)
    assert mean.shape == error.shape == grid.shape
    assert float(torch.trapezoid(mean, grid)) == pytest.approx(1, abs=1e-9)
    # The textbook's double sum, at one point, with a width of one's own.
    each = [
        sum(
            float(w) * math.exp(-((0.7 - float(t)) ** 2) / (2 * 0.3**2)) / (0.3 * math.sqrt(2 * math.pi))
            for t, w in zip(nodes, weights, strict=True)
        )
        for nodes, weights in zip(found.nodes, found.weights, strict=True)
    ]
    mean, error = found.on(torch.tensor([0.7]), bandwidth=0.3)
    average = sum(each) / 6
    # The grid point is given in single precision.
    assert float(mean[0]) == pytest.approx(average, rel=1e-6)
    spread = math.sqrt(sum((value - average) ** 2 for value in each) / 5)
    assert float(error[0]) == pytest.approx(spread / math.sqrt(6), rel=1e-5)


def test_one_probe_has_no_error_to_show() -> None:
    objective, x = _objective(_matrix(torch.linspace(-1, 3, 30)))
    found = density(objective, x, probes=1, steps=10)
    mean, error = found.on(torch.linspace(-1, 3, 5))
    assert bool(mean.isfinite().all())
    assert bool(error.isnan().all())
    assert math.isnan(found.moments(1)[1])


def test_the_zero_matrix_and_a_single_parameter() -> None:
    objective, x = _objective(torch.zeros(5, 5, dtype=torch.float64))
    zero = density(objective, x, probes=2, steps=3)
    assert (zero.bandwidth, zero.products, zero.moments(2)) == (0, 2, (0, 0))
    with pytest.raises(OptionError, match="give a bandwidth"):
        zero.on(torch.zeros(3))
    assert float(zero.on(torch.zeros(1), bandwidth=1.0)[0]) == pytest.approx(1 / math.sqrt(2 * math.pi))
    objective, x = _objective(torch.full((1, 1), -3.0, dtype=torch.float64))
    single = density(objective, x, probes=2)
    assert single.nodes.flatten().tolist() == pytest.approx([-3, -3])
    assert single.bandwidth == pytest.approx(0.03)


def test_single_precision_gives_the_same_density_and_says_how_noisy_it_was() -> None:
    single, double = _network(torch.float32), _network()
    found = density(single, single.x0, probes=4, steps=30)
    exact = density(double, single.x0.double(), probes=4, steps=30)
    assert found.nodes.dtype == torch.float64
    scale = float(exact.nodes.abs().max())
    for k in (1, 2, 3):
        assert found.moments(k)[0] == pytest.approx(exact.moments(k)[0], abs=1e-5 * scale**k)
    top = float(eigenvalues(double, single.x0.double(), largest=1, tolerance=1e-9).values[0])
    assert float(found.nodes.max()) == pytest.approx(top, rel=1e-5)
    assert exact.noise < 1e-13 * scale < found.noise < 1e-4 * scale


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": 0}, "probes=0"),
        ({"probes": -2}, "probes=-2"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"kind": "fisher"}, "kind='fisher'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    objective, x = _objective(torch.eye(3, dtype=torch.float64))
    with pytest.raises(OptionError, match=message):
        density(objective, x, **options)  # type: ignore[arg-type]
    assert objective.counts.products == 0


def test_wrong_points_grids_and_moments() -> None:
    objective, x = _objective(torch.eye(3, dtype=torch.float64))
    with pytest.raises(OptionError, match="x must be a vector"):
        density(objective, torch.zeros(4, dtype=torch.float64))
    found = density(objective, x)
    for bandwidth in (0.0, -1.0, math.nan):
        with pytest.raises(OptionError, match="bandwidth"):
            found.on(torch.zeros(3), bandwidth=bandwidth)
    with pytest.raises(OptionError, match="grid must be points"):
        found.on(torch.zeros(3, 1))
    with pytest.raises(OptionError, match="k=-1"):
        found.moments(-1)


def test_products_that_are_not_finite() -> None:
    x = torch.zeros(4, dtype=torch.float64)
    objective = as_objective(lambda x: (x.abs() ** 1.5).sum(), x + 1)
    with pytest.raises(NotFiniteError, match="not finite"):
        density(objective, x)


def test_vectors_that_do_not_fit_are_refused_before_any_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 1000)
    risk = _network()
    with pytest.raises(TooLargeError, match="Use fewer steps instead"):
        density(risk, risk.x0)
    assert risk.counts.products == 0


def test_the_distance_to_the_exact_spectrum_is_that_of_scipy() -> None:
    exact = torch.cat([torch.tensor([8.0, 5.0, 5.0, -2.0]), torch.linspace(-0.5, 1, 96)]).double()
    objective, x = _objective(_matrix(exact))
    found = density(objective, x, probes=3, steps=12)
    assert found.distance(exact.flip(0)) == pytest.approx(_distance(found, exact), rel=1e-10)
    assert found.distance(exact + 3) == pytest.approx(_distance(found, exact + 3), rel=1e-10)
    for wrong in (exact[:5], exact * math.nan):
        with pytest.raises(OptionError, match="100 finite numbers"):
            found.distance(wrong)


def test_a_logarithmic_axis_covers_the_nodes_and_holds_an_area_of_one() -> None:
    values = torch.cat([torch.tensor([100.0, -3.0]), torch.logspace(-6, -2, 58)])
    objective, x = _objective(_matrix(values))
    found = density(objective, x, probes=4, steps=25)
    for threshold in (None, 1e-7):
        grid = found.grid(3001, threshold)
        assert grid.shape == (3001,)
        assert bool((grid.diff() > 0).all())
        assert float(grid[0]) < float(found.nodes.min()) < float(found.nodes.max()) < float(grid[-1])
        mean, _ = found.on(grid, linear_threshold=threshold)
        axis = grid if threshold is None else (grid / threshold).asinh()
        # On the linear axis one bandwidth beyond the outermost nodes cuts off a little of them.
        area = float(torch.trapezoid(mean, axis))
        assert area == pytest.approx(1, abs=0.01 if threshold is None else 1e-3)
        torch.testing.assert_close(axis.diff(), axis.diff()[:1].expand(3000), rtol=1e-6, atol=0)
    # Far from 0 the axis is log(2 lambda / t).
    assert math.asinh(50 / 1e-7) == pytest.approx(math.log(100 / 1e-7))
    for wrong in ({"points": 1}, {"points": 5, "linear_threshold": 0.0}):
        with pytest.raises(OptionError, match=r"points|linear_threshold"):
            found.grid(**wrong)  # type: ignore[arg-type]


def test_probes_in_groups_are_those_of_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    risk = _network()
    together = density(risk, risk.x0, probes=5, steps=9)
    # Room for 2 probes of 9 vectors in a quarter of the limit.
    limit = 4 * 9 * risk.dim * 8 * 2
    monkeypatch.setattr(sys.modules["hessrun.curvature.density"], "available_bytes", lambda device: limit)
    apart = density(risk, risk.x0, probes=5, steps=9)
    torch.testing.assert_close(together.nodes, apart.nodes, rtol=0, atol=1e-12)
    torch.testing.assert_close(together.weights, apart.weights, rtol=0, atol=1e-10)


def test_a_density_as_the_record_keeps_it() -> None:
    objective, x = _objective(_matrix(torch.linspace(-1, 3, 60)))
    found = density(objective, x, probes=3, steps=10)
    kept = found.as_spectrum(step=5)
    assert (kept.step, kept.n, kept.kind, kept.products) == (5, 60, "density", 30)
    assert kept.density_nodes.tolist() == found.nodes.tolist()
    assert kept.density_weights.tolist() == found.weights.tolist()
    assert kept.largest.tolist() == [float(found.nodes.max())]
    assert kept.smallest.tolist() == [float(found.nodes.min())]
    assert kept.is_indefinite
    assert kept.noise_floor == found.noise
    assert kept.negative == -1
