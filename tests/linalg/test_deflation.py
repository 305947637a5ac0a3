"""Weights that are known instead of estimated, against dense eigenvectors; repeated eigenvalues keep their share."""

import math

import pytest
import torch
from torch import Tensor

from hessrun.linalg.deflation import Outliers, deflated, outliers
from hessrun.linalg.quadrature import Quadrature, quadrature


def _matrix(eigenvalues: Tensor) -> Tensor:
    n, generator = len(eigenvalues), torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    H = U * eigenvalues.double() @ U.T
    return (H + H.T) / 2


def _rule(H: Tensor, seed: int, steps: int) -> Quadrature:
    start = torch.randn(len(H), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return quadrature(lambda v: H @ v, start, steps)


SPIKED = torch.cat([torch.tensor([30.0, -20.0, 10.0]), torch.linspace(-0.5, 1, 97)])


def test_outliers_are_eigenpairs_the_largest_in_size_first() -> None:
    H = _matrix(SPIKED)
    found = outliers(_rule(H, 0, 20), 2)
    torch.testing.assert_close(found.values, torch.tensor([30.0, -20.0], dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.vectors @ H, found.values[:, None] * found.vectors, rtol=0, atol=1e-10)


def test_ritz_pairs_that_have_not_converged_are_no_outliers() -> None:
    """After 3 steps nothing of an even spectrum is known; of all that 20 steps found, residuals of 1e-3 are."""
    H = _matrix(torch.linspace(-1, 1, 100))
    assert outliers(_rule(H, 0, 3), 3).vectors.shape == (0, 100)
    found = outliers(_rule(_matrix(SPIKED), 0, 20), 20)
    assert 3 <= len(found.values) < 20
    residuals = found.vectors @ _matrix(SPIKED) - found.values[:, None] * found.vectors
    assert float(residuals.norm(dim=1).max()) <= 1e-3 * 30 * (1 + 1e-9)


def test_the_residuals_of_a_rule_are_those_of_its_ritz_vectors() -> None:
    H = _matrix(SPIKED)
    rule = _rule(H, 1, 7)
    vectors = rule.modes.T @ rule.basis
    true = torch.linalg.vector_norm(vectors @ H - rule.nodes[:, None] * vectors, dim=1)
    torch.testing.assert_close(rule.residuals, true, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_known_eigenvalue_has_one_share_and_the_rest_that_of_the_complement(dtype: torch.dtype) -> None:
    H = _matrix(SPIKED).to(dtype)
    rule = quadrature(lambda v: H @ v, torch.randn(100, generator=torch.Generator().manual_seed(3)).to(dtype), 15)
    known = outliers(_rule(_matrix(SPIKED), 4, 20), 3)
    known = Outliers(known.values, known.vectors.to(dtype))
    nodes, weights = deflated(rule.nodes, rule.weights, rule.basis[0], known)
    assert nodes.shape == weights.shape == (18,)
    assert bool((nodes.diff() >= 0).all())
    assert bool((weights >= 0).all())
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
    for value in known.values.tolist():
        assert float(weights[(nodes - value).abs() < 1e-4].sum()) == pytest.approx(0.01, abs=1e-7)
    bulk = nodes.abs() < 2
    before = rule.nodes.abs() < 2
    kept = rule.weights[before] * 0.97 / rule.weights[before].sum()
    torch.testing.assert_close(weights[bulk], kept, rtol=0, atol=1e-6)


def test_of_a_repeated_eigenvalue_all_copies_keep_their_share_in_the_mean() -> None:
    """Three copies of 30 in 100: 3/100, of which one is known and two are estimated; less spread than of three."""
    values = torch.cat([torch.full((3,), 30.0), torch.linspace(-0.5, 1, 97)])
    H = _matrix(values)
    shares, plain = [], []
    for seed in range(300):
        rule, other = _rule(H, seed, 12), _rule(H, 1000 + seed, 12)
        nodes, weights = deflated(rule.nodes, rule.weights, rule.basis[0], outliers(other, 3))
        shares.append(float(weights[nodes > 20].sum()))
        plain.append(float(rule.weights[rule.nodes > 20].sum()))
    found, before = torch.tensor(shares), torch.tensor(plain)
    assert abs(float(found.mean()) - 0.03) < 3 * float(found.std()) / math.sqrt(300)
    assert float(found.std()) < 0.9 * float(before.std())


def test_a_vector_within_what_is_known_tells_nothing_of_the_rest() -> None:
    H = torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    unit = torch.eye(4, dtype=torch.float64)
    rule = quadrature(lambda v: H @ v, unit[0], 4)
    nodes, weights = deflated(rule.nodes, rule.weights, unit[0], Outliers(rule.nodes, unit[:1]))
    assert nodes.tolist() == pytest.approx([3, 3])
    assert sorted(weights.tolist()) == pytest.approx([0, 1])


def test_nothing_known_leaves_the_rule_as_it_is() -> None:
    rule = _rule(_matrix(SPIKED), 0, 10)
    nodes, weights = deflated(rule.nodes, rule.weights, rule.basis[0], outliers(rule, 0))
    assert torch.equal(nodes, rule.nodes)
    torch.testing.assert_close(weights, rule.weights, rtol=1e-14, atol=0)
