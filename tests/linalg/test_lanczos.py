"""Lanczos against dense eigenvalues: repeated, clustered, mirrored, rank-deficient and noisy matrices; no ghosts."""

import pytest
import torch
from torch import Tensor

from hessrun.errors import ObjectiveError, OptionError, TooLargeError
from hessrun.linalg.krylov_basis import KrylovBasis
from hessrun.linalg.lanczos import Eigenpairs, lanczos

TOLERANCE = 1e-6


def _matrix(eigenvalues: Tensor, seed: int = 0) -> Tensor:
    """A dense symmetric matrix of these eigenvalues, with random eigenvectors."""
    n = len(eigenvalues)
    Q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    H = Q * eigenvalues.double() @ Q.T
    return (H + H.T) / 2


def _check(H: Tensor, found: Eigenpairs) -> None:
    """The reported ends are those of the dense solver, the vectors orthonormal, the residuals true."""
    exact = torch.linalg.eigvalsh(H)
    allowed = TOLERANCE * float(exact.abs().max()) + 1e-300
    low, high, p = found.n_smallest, found.n_largest, len(found.values)
    assert found.converged
    assert found.complete
    for got, expected in ((found.values[:low], exact[:low]), (found.values[p - high :], exact[len(H) - high :])):
        torch.testing.assert_close(got, expected, rtol=0, atol=allowed)
    V = found.vectors
    torch.testing.assert_close(V.T @ V, torch.eye(p, dtype=V.dtype), rtol=0, atol=1e-10)
    true = torch.linalg.vector_norm(H @ V - V * found.values, dim=0)
    torch.testing.assert_close(true, found.residuals, rtol=0, atol=1e-11 * float(exact.abs().max()))


def _ends(H: Tensor, k: int, **options: object) -> Eigenpairs:
    return lanczos(lambda v: H @ v, len(H), smallest=k, largest=k, tolerance=TOLERANCE, **options)  # type: ignore[arg-type]


SPECTRA = {
    "distinct": torch.linspace(-1, 2, 150),
    "repeated": torch.cat([torch.full((3,), 5.0), torch.full((3,), -2.0), torch.linspace(-1, 1, 144)]),
    "clustered": 1 + 1e-4 * torch.linspace(-1, 1, 150),
    "mirrored": torch.cat([torch.linspace(0.1, 3, 75), -torch.linspace(0.1, 3, 75)]),
    "rank deficient": torch.cat([torch.tensor([3.0, 2.0, -1.0]), torch.zeros(147)]),
    "zero": torch.zeros(150),
    "identity": torch.ones(150),
    "two values": torch.cat([torch.ones(75), -torch.ones(75)]),
}


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", SPECTRA)
def test_both_ends_are_those_of_the_dense_solver(name: str, k: int) -> None:
    H = _matrix(SPECTRA[name])
    _check(H, _ends(H, k))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_all_eigenvalues_of_a_small_matrix(n: int) -> None:
    H = _matrix(torch.linspace(-1, 3, n))
    found = _ends(H, n)
    _check(H, found)
    assert len(found.values) == n
    assert found.products == n


def test_all_eigenvalues_of_a_matrix_beyond_the_basis() -> None:
    H = _matrix(torch.linspace(-1, 3, 60))
    _check(H, lanczos(lambda v: H @ v, 60, largest=60, tolerance=TOLERANCE))


def test_the_largest_of_a_decaying_spectrum() -> None:
    H = _matrix(0.8 ** torch.arange(150.0))
    _check(H, lanczos(lambda v: H @ v, 150, largest=5, tolerance=TOLERANCE))


def test_magnitude_takes_from_both_ends() -> None:
    H = _matrix(torch.cat([torch.tensor([5.0, -4.0, 3.0, -2.0]), torch.linspace(-1, 1, 120)]))
    found = lanczos(lambda v: H @ v, len(H), magnitude=3, tolerance=TOLERANCE)
    _check(H, found)
    assert (found.n_smallest, found.n_largest) == (1, 2)
    torch.testing.assert_close(found.values, torch.tensor([-4.0, 3.0, 5.0]).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("tolerance", "top"), [(1e-3, 5.18), (1e-6, 5.19), (1e-6, 5.21)])
def test_magnitude_does_not_take_the_end_that_converges_first(tolerance: float, top: float) -> None:
    """An eigenvalue alone is found long before the edge of a dense part at the other end."""
    values = torch.cat([torch.tensor([top]), torch.linspace(-5.2, 0, 2000)]).double()
    found = lanczos(lambda v: values[:, None] * v, len(values), magnitude=1, tolerance=tolerance)
    assert found.complete
    expected = values[values.abs().argmax()]
    torch.testing.assert_close(found.values, expected.view(1), rtol=0, atol=5.2 * tolerance)


def test_a_warm_start_saves_products_and_spoils_nothing() -> None:
    spectrum = torch.cat([torch.linspace(3, 6, 5), torch.linspace(-1, 1, 595)])
    H = _matrix(spectrum)
    cold = lanczos(lambda v: H @ v, 600, largest=5, tolerance=TOLERANCE)
    warm = lanczos(lambda v: H @ v, 600, largest=5, tolerance=TOLERANCE, start=cold.vectors)
    _check(H, warm)
    assert warm.products < cold.products
    # A start that lacks the top eigenvector must not hide it.
    blind = lanczos(lambda v: H @ v, 600, largest=5, tolerance=TOLERANCE, start=cold.vectors[:, :1])
    _check(H, blind)


def test_a_start_of_zeros_is_replaced() -> None:
    H = _matrix(torch.linspace(-1, 3, 60))
    _check(H, _ends(H, 2, start=torch.zeros(60, 3, dtype=torch.float64)))


def test_the_same_seed_gives_the_same_pairs() -> None:
    H = _matrix(SPECTRA["distinct"])
    first, second = (_ends(H, 3, seed=4) for _ in range(2))
    assert torch.equal(first.vectors, second.vectors)
    state = torch.random.get_rng_state()
    _ends(H, 3)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("top", "is_confirmed"),
    [([3.0, 2.5, 2.0], False), ([3.0, 3.0, 2.0], True), ([3.0, 3.0, 3.0], True), ([3.0, 2.0, 2.0 - 1e-5], True)],
)
def test_only_what_may_hide_another_copy_is_confirmed(
    top: list[float], is_confirmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two random vectors see two copies of an eigenvalue: a third may be hidden where two were seen."""
    steps = []
    plain = KrylovBasis.expand_at_random
    monkeypatch.setattr(KrylovBasis, "expand_at_random", lambda basis, k: steps.append(k) or plain(basis, k))  # type: ignore[func-returns-value]
    H = _matrix(torch.cat([torch.tensor(top), torch.linspace(-1, 1, 197)]))
    _check(H, lanczos(lambda v: H @ v, 200, largest=2, tolerance=TOLERANCE))
    assert steps == [2, *[1] * is_confirmed]


def test_an_operator_is_given_pairs_of_vectors() -> None:
    H, widths = _matrix(torch.linspace(-1, 3, 200)), []

    def apply(V: Tensor) -> Tensor:
        widths.append(V.shape[1])
        return H @ V

    found = lanczos(apply, 200, largest=3, tolerance=TOLERANCE)
    assert set(widths) == {2}
    assert sum(widths) == found.products


def test_products_that_ran_out_are_said_to_have() -> None:
    H = _matrix(torch.linspace(-1, 3, 400))
    found = _ends(H, 4, max_products=25)
    assert not found.converged
    assert not found.complete
    assert "did not suffice" in found.message
    assert found.products <= 45


def test_noisy_products_are_no_convergence() -> None:
    H = _matrix(torch.linspace(-1, 3, 200))
    noise = 1e-3 * torch.randn(200, 200, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 200**0.5
    found = lanczos(lambda v: H @ v + noise @ v, 200, largest=3, tolerance=TOLERANCE, max_products=300)
    assert not found.converged
    assert not found.complete
    assert "use float64" in found.message
    assert found.noise > TOLERANCE * 3


@pytest.mark.parametrize("tolerance", [0.0, 1e-9])
def test_a_tolerance_below_the_noise_ends_when_nothing_is_gained(tolerance: float) -> None:
    values = torch.linspace(-1, 3, 5000).float()
    found = lanczos(lambda v: values[:, None] * v, 5000, largest=3, tolerance=tolerance, dtype=torch.float32)
    assert not found.converged
    assert "use float64" in found.message
    assert found.products < 1500  # of 51,000
    torch.testing.assert_close(found.values, values[-3:].double(), rtol=0, atol=1e-4)


def test_float32_at_a_tolerance_that_it_can_meet() -> None:
    H = _matrix(torch.linspace(-1, 3, 200))
    single = H.float()
    found = lanczos(lambda v: single @ v, 200, largest=3, tolerance=1e-3, dtype=torch.float32)
    assert found.complete
    torch.testing.assert_close(found.values, torch.linalg.eigvalsh(H)[-3:], rtol=0, atol=1e-4)


def test_products_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ObjectiveError, match="not finite"):
        lanczos(lambda v: v * float("nan"), 50, largest=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Ask for eigenvalues"),
        ({"largest": 1, "magnitude": 1}, "Ask for eigenvalues"),
        ({"largest": 11}, "largest=11"),
        ({"smallest": -1}, "smallest=-1"),
        ({"largest": 1, "tolerance": -1e-3}, "tolerance"),
        ({"largest": 1, "max_products": 0}, "max_products"),
        ({"largest": 1, "seed": -1}, "seed"),
        ({"largest": 1, "start": torch.zeros(9, 1)}, "start"),
        ({"largest": 1, "start": torch.zeros(10)}, "start"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        lanczos(lambda v: v, 10, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused_before_any_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 100_000)
    calls = []
    with pytest.raises(TooLargeError, match=r"180 vectors of 1,000 .* Use fewer eigenvalues instead"):
        lanczos(lambda v: calls.append(v) or v, 1000, largest=1)  # type: ignore[func-returns-value]
    assert calls == []


def test_a_metric_gives_the_pairs_of_a_product_of_two_matrices() -> None:
    """H P of symmetric H and positive definite P, against the dense C'H C with P = C C'."""
    H = _matrix(torch.cat([torch.tensor([9.0, 8.0, 8.0, -5.0]), torch.linspace(-1, 2, 96)]))
    P = _matrix(torch.logspace(-2, 1, 100), seed=1)
    C = torch.linalg.cholesky(P)
    exact = torch.linalg.eigvalsh(C.T @ H @ C)
    found = lanczos(lambda v: H @ v, 100, smallest=2, largest=3, tolerance=1e-8, metric=lambda v: P @ v)
    assert found.complete
    torch.testing.assert_close(found.values, torch.cat([exact[:2], exact[-3:]]), rtol=0, atol=1e-7 * float(exact[-1]))
    V = found.vectors
    torch.testing.assert_close(V.T @ P @ V, torch.eye(5, dtype=V.dtype), rtol=0, atol=1e-10)
    R = H @ P @ V - V * found.values
    torch.testing.assert_close((R * (P @ R)).sum(0).sqrt(), found.residuals, rtol=0, atol=1e-10 * float(exact[-1]))
    assert bool((found.residuals <= 1e-8 * found.scale).all())


def test_an_indefinite_metric_is_refused() -> None:
    H, P = _matrix(torch.linspace(1, 2, 30)), _matrix(torch.linspace(-1, 1, 30), seed=1)
    with pytest.raises(OptionError, match="not positive definite"):
        lanczos(lambda v: H @ v, 30, largest=2, metric=lambda v: P @ v)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_refused(factor: float) -> None:
    with pytest.raises(ObjectiveError, match="metric is not finite"):
        lanczos(lambda v: v, 10, largest=1, metric=lambda v: factor * v)


def test_a_metric_that_is_singular_is_refused() -> None:
    """A random direction has no length in it where all but one have none."""
    P = torch.zeros(30, 30, dtype=torch.float64)
    P[0, 0] = 1.0
    with pytest.raises(OptionError, match=r"not positive definite|singular to rounding"):
        lanczos(lambda v: v, 30, largest=2, metric=lambda v: P @ v)


@pytest.mark.parametrize("seed", [70, 85, 153, 260])
def test_a_warm_start_that_lacks_the_top_vector_beside_a_dense_part(seed: int) -> None:
    """What is missing is hardly apart from the dense part: the confirmation comes near it by small steps."""
    generator = torch.Generator().manual_seed(seed)
    n, k = (int(torch.randint(low, high, (1,), generator=generator)) for low, high in ((60, 300), (1, 11)))
    values = -torch.randn(n, generator=generator, dtype=torch.float64).abs()
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    H = (Q * values) @ Q.T
    exact, vectors = torch.linalg.eigh((H + H.T) / 2)
    for tolerance in (1e-4, 1e-6):
        found = lanczos(lambda v: H @ v, n, largest=k, tolerance=tolerance, start=vectors[:, n - k - 1 : n - 1])
        assert found.complete
        torch.testing.assert_close(found.values, exact[-k:], rtol=0, atol=3 * tolerance * float(exact.abs().max()))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (torch.full((60, 2), float("nan")), "not finite"),
        (torch.ones(60, 2, dtype=torch.complex64), "floating-point"),
        ("vectors", "floating-point"),
    ],
)
def test_a_start_of_another_kind_is_one_line(start: object, message: str) -> None:
    H = _matrix(torch.linspace(-1, 3, 60))
    with pytest.raises(OptionError, match=message):
        _ends(H, 2, start=start)
