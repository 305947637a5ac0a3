"""Hutch++ against dense traces: exact where it must be, else within its error, and ahead of Hutchinson."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.curvature import trace
from hessrun.errors import NotFiniteError, OptionError, TooLargeError
from hessrun.objective import EmpiricalRisk, Objective, as_objective


def _objective(values: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Objective, Tensor, Tensor]:
    """A quadratic whose Hessian has these eigenvalues and random eigenvectors, a point, and that Hessian."""
    n, generator = len(values), torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    H = U * values.double() @ U.T
    H = ((H + H.T) / 2).to(dtype)
    x = torch.zeros(n, dtype=dtype)
    return as_objective(lambda x: 0.5 * torch.dot(x, H @ x), x), x, H


def _network(dtype: torch.dtype = torch.float64) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (40,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 3)).to(dtype)
    return EmpiricalRisk(module, functional.cross_entropy, inputs.to(dtype), labels)


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_exact_where_a_third_of_the_products_holds_the_rank(rank: int) -> None:
    values = torch.zeros(80)
    values[:rank] = torch.tensor([5.0, -3.0, 2.0, 0.5, -0.1])[:rank]
    objective, x, H = _objective(values)
    found = trace(objective, x, products=15)
    assert found.value == pytest.approx(float(H.trace()), abs=1e-13)
    assert found.standard_error < 1e-13
    fewer = trace(objective, x, products=6)
    assert (fewer.standard_error > 1e-3) == (rank == 5)


def test_as_many_products_as_parameters_compute_the_diagonal() -> None:
    objective, x, H = _objective(torch.linspace(-1, 3, 20))
    found = trace(objective, x, products=20)
    assert found.value == pytest.approx(float(H.trace()), abs=1e-13)
    assert (found.standard_error, found.products, objective.counts.products) == (0, 20, 20)
    objective, x, _ = _objective(torch.tensor([7.0]))
    assert trace(objective, x) == trace(objective, x, products=4)
    assert trace(objective, x).products == 1


@pytest.mark.parametrize("products", [4, 5, 6, 31])
def test_products_are_those_asked_for_and_counted(products: int) -> None:
    risk = _network()
    found = trace(risk, risk.x0, products=products)
    assert found.products == risk.counts.products == products
    assert risk.counts.values == risk.counts.gradients == risk.counts.hessian_columns == 0
    trace(risk.uncounted(), risk.x0, products=products)
    assert risk.counts.products == products


@pytest.mark.parametrize(
    "values",
    [
        torch.linspace(-1, 2, 100),
        1 / torch.arange(1.0, 101) ** 1.5,
        torch.cat([torch.tensor([30.0, 20.0, -10.0]), torch.linspace(-0.5, 1, 97)]),
    ],
    ids=["flat", "decaying", "outliers"],
)
def test_two_standard_errors_hold_the_trace_in_nine_of_ten_seeds(values: Tensor) -> None:
    objective, x, H = _objective(values)
    true = float(H.trace())
    found = [trace(objective, x, products=60, seed=seed) for seed in range(200)]
    assert sum(abs(f.value - true) <= 2 * f.standard_error for f in found) >= 180
    # And the error is no larger than it need be: it is the spread of the estimates themselves.
    spread = math.sqrt(sum((f.value - true) ** 2 for f in found) / 200)
    claimed = math.sqrt(sum(f.standard_error**2 for f in found) / 200)
    assert claimed == pytest.approx(spread, rel=0.2)
    # No bias: the mean of 200 estimates is within 3 of its own standard errors.
    assert abs(sum(f.value for f in found) / 200 - true) < 3 * spread / math.sqrt(200)


def test_ahead_of_hutchinson_on_a_decaying_spectrum() -> None:
    values = 1 / torch.arange(1.0, 201) ** 1.5
    objective, x, H = _objective(values)
    true, products = float(H.trace()), 60
    hutchpp = [trace(objective, x, products=products, seed=seed).value - true for seed in range(40)]
    generator = torch.Generator().manual_seed(0)
    plain = []
    for _ in range(40):
        Z = (2 * torch.randint(2, (200, products), generator=generator) - 1).double()
        plain.append(float((Z * (H @ Z)).sum() / products) - true)
    assert sum(e**2 for e in hutchpp) < 0.1**2 * sum(e**2 for e in plain)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_a_network(kind: str) -> None:
    risk = _network()
    with risk.curvature(risk.x0, kind=kind) as curvature:
        H = curvature @ torch.eye(risk.dim, dtype=torch.float64)
    found = trace(risk, risk.x0, kind=kind, products=60)
    assert abs(found.value - float(H.trace())) <= 3 * found.standard_error + 1e-12
    # Below the error of Hutchinson, who takes the mean of z'Hz for random signs z over all products.
    variance = 2 * float((H**2).sum() - (H.diagonal() ** 2).sum())
    assert found.standard_error < math.sqrt(variance / 60)


def test_single_precision_agrees_with_double() -> None:
    single, double = _network(torch.float32), _network()
    one, two = trace(single, single.x0), trace(double, single.x0.double())
    assert one.value == pytest.approx(two.value, rel=1e-4)
    exact = trace(single, single.x0, products=single.dim)
    assert exact.value == pytest.approx(trace(double, single.x0.double(), products=double.dim).value, rel=1e-5)


def test_the_seed_decides_and_a_power_of_two_scales() -> None:
    risk = _network()
    assert trace(risk, risk.x0, seed=3) == trace(risk, risk.x0, seed=3)
    assert trace(risk, risk.x0, seed=3) != trace(risk, risk.x0, seed=4)
    values = torch.linspace(-1, 2, 100)
    objective, x, _ = _objective(values)
    scaled, _, _ = _objective(values * 2.0**-26)
    small, plain = trace(scaled, x), trace(objective, x)
    assert small.value == pytest.approx(2.0**-26 * plain.value, rel=1e-9)
    assert small.standard_error == pytest.approx(2.0**-26 * plain.standard_error, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"products": 3}, "products=3"),
        ({"products": -1}, "products=-1"),
        ({"products": 6.0}, "products=6.0"),
        ({"seed": -1}, "seed=-1"),
        ({"kind": "fisher"}, "kind='fisher'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    objective, x, _ = _objective(torch.ones(30))
    with pytest.raises(OptionError, match=message):
        trace(objective, x, **options)  # type: ignore[arg-type]
    assert objective.counts.products == 0


def test_a_point_of_another_length() -> None:
    objective, _, _ = _objective(torch.ones(3))
    with pytest.raises(OptionError, match="x must be a vector"):
        trace(objective, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("n", [4, 100])
def test_products_that_are_not_finite(n: int) -> None:
    x = torch.zeros(n, dtype=torch.float64)
    objective = as_objective(lambda x: (x.abs() ** 1.5).sum(), x + 1)
    with pytest.raises(NotFiniteError, match="no trace at this point"):
        trace(objective, x)


def test_vectors_that_do_not_fit_are_refused_before_any_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 1000)
    risk = _network()
    with pytest.raises(TooLargeError, match="Use fewer products instead"):
        trace(risk, risk.x0)
    assert risk.counts.products == 0
