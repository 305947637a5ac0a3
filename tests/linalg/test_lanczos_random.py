"""Random matrices made to deceive: clusters, copies, mirrored pairs, missing rank; single and double precision.

What is checked is what an answer claims: residuals that are true, no more copies than there are, and `complete` only
where nothing was passed over.
"""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hessrun.linalg.lanczos import Eigenpairs, lanczos

_DOZEN, _SOME = 9, 10
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


@dataclass(frozen=True)
class Case:
    values: Tensor
    seed: int
    dtype: torch.dtype
    asked: dict[str, int]


@st.composite
def cases(draw: st.DrawFn, largest_group: int = 8, most: int = 60) -> Case:
    """n from 1 to `most`: values, each copied, mirrored or clustered, beside a smooth part and a null space."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        value, size = float(draw(st.integers(-5, 5))), draw(st.integers(1, largest_group))
        kind = draw(st.sampled_from(["copies", "cluster", "mirrored", "single"]))
        if kind == "copies":
            parts.append(torch.full((size,), value))
        elif kind == "cluster":
            width = draw(st.sampled_from([1e-9, 1e-7, 1e-5, 1e-3]))
            parts.append(value + width * torch.linspace(-1, 1, size))
        elif kind == "mirrored":
            parts.append(torch.tensor([value, -value]))
        else:
            parts.append(torch.tensor([value]))
    parts.append(draw(st.sampled_from([0.0, 0.5, 2.0])) * torch.linspace(-1, 1, draw(st.integers(0, most // 2))))
    parts.append(torch.zeros(draw(st.integers(0, 10))))
    values = torch.cat(parts).double()[:most]
    n = len(values)
    k = draw(st.integers(1, min(n, 8)))
    end = draw(st.sampled_from(["largest", "smallest", "both", "magnitude"]))
    asked = {"largest": k, "smallest": k} if end == "both" else {end: k}
    return Case(values, draw(st.integers(0, 9999)), draw(st.sampled_from([torch.float64, torch.float32])), asked)


def _wanted(exact: Tensor, asked: dict[str, int]) -> Tensor:
    """The eigenvalues that were asked for, ascending; of two of the same size either may be meant."""
    n = len(exact)
    if "magnitude" in asked:
        return exact.abs().sort().values[n - asked["magnitude"] :]
    low, high = asked.get("smallest", 0), asked.get("largest", 0)
    return exact if low + high >= n else torch.cat([exact[:low], exact[n - high :]])


def _check(case: Case) -> Eigenpairs:
    n, generator = len(case.values), torch.Generator().manual_seed(case.seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    H = (Q * case.values @ Q.T).to(case.dtype)
    H = ((H + H.T) / 2).double()
    exact, single = torch.linalg.eigvalsh(H), H.to(case.dtype)
    tolerance = TOLERANCE[case.dtype]
    found = lanczos(lambda v: single @ v, n, tolerance=tolerance, seed=case.seed, dtype=case.dtype, **case.asked)
    # A basis of the whole space leaves rounding, whatever the tolerance.
    rounding = 20 * n * torch.finfo(case.dtype).eps * float(exact.abs().max())
    allowed = tolerance * float(exact.abs().max()) + rounding
    V = found.vectors.double()
    torch.testing.assert_close(V.T @ V, torch.eye(V.shape[1], dtype=V.dtype), rtol=0, atol=20 * n * _eps(case.dtype))
    if found.converged:
        # Every pair is one; V being orthonormal, none can be a ghost of another, and counts respect multiplicities.
        true = torch.linalg.vector_norm(H @ V - V * found.values, dim=0)
        assert float(true.max()) <= allowed
        for value in found.values:
            near = (found.values - value).abs() <= allowed
            assert int(near.sum()) <= int(((exact - value).abs() <= 3 * allowed).sum())
    if found.complete:
        is_by_size = "magnitude" in case.asked
        got = found.values.abs().sort().values if is_by_size else found.values
        every, wanted = exact.abs() if is_by_size else exact, _wanted(exact, case.asked)
        # Of a dozen eigenvalues that differ by some tolerances the wrong ones may be reported, as `Eigenpairs` says.
        crowded = ((every - wanted[:, None]).abs() <= _SOME * allowed).sum(1) >= _DOZEN
        assert ((got - wanted).abs() <= torch.where(crowded, _SOME * allowed, allowed)).all()
    assert found.complete <= found.converged
    return found


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_nothing_is_claimed_that_is_not_so(case: Case) -> None:
    _check(case)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_nothing_is_claimed_that_is_not_so_a_thousand_times(case: Case) -> None:
    _check(case)


def test_a_cluster_of_a_few_tolerances() -> None:
    """Eleven eigenvalues across ten tolerances: the second largest may be mistaken for its neighbour, no further."""
    cluster = 2 + 1e-5 * torch.linspace(-1, 1, 11, dtype=torch.float64)
    values = torch.cat([torch.zeros(9).double(), cluster, 0.5 * torch.linspace(-1, 1, 48, dtype=torch.float64)])
    for seed in range(4):
        _check(Case(values, seed, torch.float64, {"largest": 2}))


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(largest_group=25, most=160))
def test_nothing_is_claimed_that_is_not_so_of_groups_beyond_the_basis(case: Case) -> None:
    _check(case)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_answers_are_seldom_incomplete(dtype: torch.dtype) -> None:
    """An answer that always declines would be true as well: of 100 random matrices 95 are answered completely."""
    complete = 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        copies = torch.randint(-3, 4, (4,), generator=generator).double().repeat_interleave(5)
        smooth = torch.randn(60, generator=generator, dtype=torch.float64)
        complete += _check(Case(torch.cat([copies, smooth]), seed, dtype, {"largest": 3, "smallest": 3})).complete
    assert complete >= 95
