"""Every member of the family, blocked, against its textbook formula on dense matrices of the Hessian itself."""

import pytest
import torch

from hessrun.linalg.broyden_family import bfgs, broyden, dfp, powell_weight, self_scaled_bfgs
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix

N = 11


def pairs(count=30):
    """Pairs of an indefinite-free but far from quadratic kind: y = A_k s with a new positive definite A_k each."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        root = torch.randn(N, N, generator=generator, dtype=torch.float64)
        s = torch.randn(N, generator=generator, dtype=torch.float64)
        yield s, (root @ root.T / N + 0.1 * torch.eye(N, dtype=torch.float64)) @ s


def bfgs_of_b(B, s, y):
    """Nocedal & Wright, eq. 6.19."""
    Bs = B @ s
    return B - torch.outer(Bs, Bs) / (s @ Bs) + torch.outer(y, y) / (y @ s)


def dfp_of_b(B, s, y):
    """Nocedal & Wright, eq. 6.13."""
    left = torch.eye(N, dtype=torch.float64) - torch.outer(y, s) / (y @ s)
    return left @ B @ left.T + torch.outer(y, y) / (y @ s)


def self_scaled_of_b(B, s, y):
    tau = min(1.0, float(y @ s / (s @ B @ s)))
    return bfgs_of_b(tau * B, s, y)


MEMBERS = {
    "bfgs": (lambda ys, yu, _: bfgs(ys, yu), bfgs_of_b),
    "dfp": (lambda ys, yu, _: dfp(ys, yu), dfp_of_b),
    "self-scaled": (self_scaled_bfgs, self_scaled_of_b),
    **{
        f"broyden {phi}": (
            lambda ys, yu, s_bs, phi=phi: broyden(ys, yu, s_bs, phi),
            lambda B, s, y, phi=phi: (1 - phi) * bfgs_of_b(B, s, y) + phi * dfp_of_b(B, s, y),
        )
        for phi in (0.0, 0.3, 1.0)
    },
}


@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("member", MEMBERS)
def test_h_is_the_inverse_of_the_textbooks_b_along_a_trace(member, block):
    coefficients, textbook = MEMBERS[member]
    memory = QuasiNewtonMatrix.identity(torch.zeros(N, dtype=torch.float64), block=block)
    B = identity = torch.eye(N, dtype=torch.float64)
    for s, y in pairs():
        u = memory.product(y)
        update = coefficients(float(y @ s), float(y @ u), float(s @ B @ s))
        memory.update(s, u, update)
        B = textbook(B, s, y)
        H = memory.dense()
        assert (H @ B - identity).norm() <= 1e-9 * H.norm() * B.norm()
        assert (memory.product(y) - s).norm() <= 1e-10 * H.norm() * y.norm()
        assert (H - H.T).norm() <= 1e-12 * H.norm()
        assert torch.linalg.eigvalsh(0.5 * (H + H.T))[0] > 0


def test_powells_weight_lifts_the_curvature_to_a_fifth():
    assert powell_weight(0.5, 1.0) == 1.0
    for ys in (0.19, 0.0, -3.0):
        theta = powell_weight(ys, 1.0)
        assert 0 < theta < 1
        assert theta * ys + (1 - theta) == pytest.approx(0.2)
