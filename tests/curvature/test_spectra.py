"""Exact and extreme spectra of objectives against dense eigenvalues of known matrices."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.curvature import as_spectrum, eigenvalues, extremes, from_eigenvalues, spectrum
from hessrun.errors import OptionError, TooLargeError
from hessrun.objective import Curvature, EmpiricalRisk, Objective, as_objective


def _quadratic(diagonal: Tensor) -> tuple[Objective, Tensor]:
    x = torch.zeros(len(diagonal), dtype=diagonal.dtype)
    return as_objective(lambda x: 0.5 * (diagonal * x**2).sum(), x), x


def _network() -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (40,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 3)).double()
    return EmpiricalRisk(module, functional.cross_entropy, inputs, labels)


def test_exact_spectrum_of_an_indefinite_quadratic() -> None:
    objective, x = _quadratic(torch.tensor([4.0, -2.0, 0.0, 1.0, -0.5], dtype=torch.float64))
    found = spectrum(objective, x, step=7)
    assert (found.step, found.n, found.kind, found.source) == (7, 5, "exact", "probe")
    assert found.eigenvalues.tolist() == pytest.approx([-2, -0.5, 0, 1, 4])
    assert (found.negative, found.zero) == (2, 1)
    assert found.condition_number == pytest.approx(8)
    assert found.largest.tolist() == pytest.approx([4, 1, 0, -0.5, -2])
    assert found.is_indefinite
    assert found.noise_floor == pytest.approx(5 * 4 * torch.finfo(torch.float64).eps)
    assert found.noise_floor_source == "eps n |lambda|max"


def test_known_eigenvalues_become_a_spectrum_with_the_rounding_of_their_type() -> None:
    found = from_eigenvalues(torch.tensor([1.0, 1e-7, -3.0]), step=2, source="optimizer")
    assert found.source == "optimizer"
    assert (found.negative, found.zero) == (1, 1)
    assert found.condition_number == pytest.approx(3)
    assert found.noise_floor == pytest.approx(3 * 3 * torch.finfo(torch.float32).eps)


def test_measured_noise_raises_the_floor_and_is_named() -> None:
    found = from_eigenvalues(torch.tensor([1.0, 1e-3, -3.0]), asymmetry=0.01)
    assert (found.zero, found.noise_floor) == (1, 0.01)
    assert "asymmetry" in found.noise_floor_source


def test_the_zero_matrix_has_no_condition_number() -> None:
    found = from_eigenvalues(torch.zeros(4))
    assert (found.zero, found.negative) == (4, 0)
    assert math.isnan(found.condition_number)


def test_extremes_of_a_network_are_those_of_its_exact_spectrum() -> None:
    risk = _network()
    exact = spectrum(risk, risk.x0)
    found, vectors = extremes(risk, risk.x0, step=3, k=4, tolerance=1e-8)
    assert (found.step, found.kind, found.n) == (3, "lanczos", risk.dim)
    assert found.converged
    assert found.complete
    assert found.largest.tolist() == pytest.approx(exact.largest[:4].tolist(), abs=1e-7)
    assert found.smallest.tolist() == pytest.approx(exact.smallest[:4].tolist(), abs=1e-7)
    assert max(found.largest_residuals.max(), found.smallest_residuals.max()) <= 1e-8 * exact.largest[0]
    assert found.negative == -1
    assert math.isnan(found.condition_number)
    assert vectors.shape == (risk.dim, 8)
    again, _ = extremes(risk, risk.x0, k=4, tolerance=1e-8, start=vectors)
    assert again.largest.tolist() == pytest.approx(found.largest.tolist(), abs=1e-7)


def test_products_are_counted_where_the_caller_wants_them() -> None:
    risk = _network()
    found, _ = extremes(risk, risk.x0, k=2)
    assert risk.counts.products == found.products > 0
    extremes(risk.uncounted(), risk.x0, k=2)
    assert risk.counts.products == found.products


def test_magnitude_and_one_end() -> None:
    objective, x = _quadratic(torch.cat([torch.tensor([5.0, -4.0, 3.0]), torch.linspace(-1, 1, 97)]).double())
    by_size = eigenvalues(objective, x, magnitude=3, tolerance=1e-8)
    assert by_size.values.tolist() == pytest.approx([-4, 3, 5])
    as_kept = as_spectrum(by_size)
    assert as_kept.largest.tolist() == pytest.approx([5, 3])
    assert as_kept.smallest.tolist() == pytest.approx([-4])
    top = eigenvalues(objective, x, largest=2, tolerance=1e-8)
    assert top.values.tolist() == pytest.approx([3, 5])
    assert as_spectrum(top).smallest.size == 0


def test_more_than_half_at_each_end_share_their_pairs() -> None:
    objective, x = _quadratic(torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64))
    found, vectors = extremes(objective, x, k=3)
    assert found.largest.tolist() == pytest.approx([3, 1, -2])
    assert found.smallest.tolist() == pytest.approx([-2, 1, 3])
    assert vectors.shape == (3, 3)


def test_a_spectrum_is_kept_and_read_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    risk = _network()
    found, _ = extremes(risk, risk.x0, k=2)
    found.save(tmp_path / "spectrum.npz")
    assert type(found).load(tmp_path / "spectrum.npz").largest.tolist() == found.largest.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 0}, "k=0"), ({"k": 4}, "k=4"), ({"tolerance": -1.0}, "tolerance"), ({"start": torch.zeros(2, 1)}, "start")],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    objective, x = _quadratic(torch.ones(3, dtype=torch.float64))
    with pytest.raises(OptionError, match=message):
        extremes(objective, x, **{"k": 1, **options})  # type: ignore[arg-type]


def test_x_of_another_length() -> None:
    objective, _ = _quadratic(torch.ones(3, dtype=torch.float64))
    with pytest.raises(OptionError, match="x must be a vector"):
        eigenvalues(objective, torch.zeros(4, dtype=torch.float64), largest=1)
    with pytest.raises(OptionError, match="x must be a vector"):
        spectrum(objective, torch.zeros(4, dtype=torch.float64))


def test_residuals_can_be_checked_by_products_of_their_own() -> None:
    risk = _network()
    plain = eigenvalues(risk, risk.x0, largest=3, smallest=2, tolerance=1e-8)
    checked = eigenvalues(risk, risk.x0, largest=3, smallest=2, tolerance=1e-8, check=True)
    assert checked.products == plain.products + 5
    assert checked.converged
    assert torch.equal(checked.values, plain.values)
    H = risk.hessian(risk.x0)
    true = torch.linalg.vector_norm(H @ plain.vectors - plain.vectors * plain.values, dim=0)
    torch.testing.assert_close(checked.residuals, true, rtol=0, atol=1e-12)


def test_products_that_contradict_the_residuals_are_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix that is another one when it is asked again."""
    objective, x = _quadratic(torch.linspace(1, 5, 80, dtype=torch.float64))
    found = eigenvalues(objective, x, largest=2, tolerance=1e-6)
    assert found.complete
    plain, made = Curvature.__matmul__, []

    def product(self: Curvature, vectors: Tensor) -> Tensor:
        made.append(vectors.shape)
        return plain(self, vectors) * (1.01 if sum(shape[-1] for shape in made) > found.products else 1.0)

    monkeypatch.setattr(Curvature, "__matmul__", product)
    again = eigenvalues(objective, x, largest=2, tolerance=1e-6, check=True)
    assert not again.converged
    assert not again.complete
    assert "made anew" in again.message


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_of_signs_are_the_inertia(seed: int) -> None:
    """Sylvester's law: those of the blocks D of LDL', a factorisation that knows nothing of eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(40, 25, generator=generator, dtype=torch.float64)
    H = A @ torch.diag(torch.randn(25, generator=generator, dtype=torch.float64)) @ A.T
    H = (H + H.T) / 2 + 3 * torch.diag((torch.arange(40) < 10).double())
    x = torch.zeros(40, dtype=torch.float64)
    found = spectrum(as_objective(lambda x: 0.5 * torch.dot(x, H @ x), x), x)
    _, D, _ = scipy.linalg.ldl(H.numpy())
    signs = np.linalg.eigvalsh(D)
    floor = 1e-9 * np.abs(signs).max()
    assert found.negative == int((signs < -floor).sum())
    assert found.zero == int((np.abs(signs) <= floor).sum())


def test_a_spectrum_in_float32_needs_the_matrix_in_float64_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 100
    objective, x = _quadratic(torch.ones(n, dtype=torch.float32))
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 2 * n * n * 8 - 1)
    with pytest.raises(TooLargeError, match=r"The exact spectrum at n = 100 .* Use Lanczos or a density instead"):
        spectrum(objective, x)
    assert objective.counts.hessian_columns == 0
