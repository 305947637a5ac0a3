"""The blocked inverse Hessian against the textbook update on a dense matrix."""

import pytest
import torch

from hessrun.linalg.broyden_family import bfgs
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix

N, UPDATES = 23, 17


def pairs(count=UPDATES, n=N):
    """Pairs of a convex quadratic, so that y's > 0."""
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    A = (Q * torch.logspace(-1, 1, n, dtype=torch.float64)) @ Q.T
    S = torch.randn(count, n, generator=generator, dtype=torch.float64)
    return [(s, A @ s) for s in S]


def textbook(H, s, y):
    """Nocedal & Wright, eq. 6.17."""
    rho = 1 / torch.dot(y, s)
    left = torch.eye(len(s), dtype=s.dtype) - rho * torch.outer(s, y)
    return left @ H @ left.T + rho * torch.outer(s, s)


def learn(memory, s, y):
    u = memory.product(y)
    memory.update(s, u, bfgs(float(y @ s), float(y @ u)))


@pytest.mark.parametrize("block", [1, 2, 3, 5, 16, 17, 40, None])
def test_blocked_equals_textbook_before_and_after_folds(block):
    memory = QuasiNewtonMatrix.identity(torch.zeros(N, dtype=torch.float64), scale=0.7, block=block)
    H = 0.7 * torch.eye(N, dtype=torch.float64)
    v = torch.linspace(-1, 1, N, dtype=torch.float64)
    for s, y in pairs():
        learn(memory, s, y)
        H = textbook(H, s, y)
        assert (memory.product(v) - H @ v).norm() <= 1e-12 * N * (H @ v).norm()
        assert (memory.product(y) - s).norm() <= 1e-12 * N * s.norm()  # secant equation
        assert torch.linalg.eigvalsh(memory.dense())[0] > 0
    memory.fold()
    assert memory.count == 0
    assert torch.equal(memory.base, memory.base.T)
    assert torch.allclose(memory.dense(), H, rtol=0, atol=1e-12 * N * float(H.norm()))


def test_nothing_dense_exists_before_the_first_fold_and_a_restart_forgets():
    memory = QuasiNewtonMatrix.identity(torch.zeros(N, dtype=torch.float64), block=3)
    assert memory.is_identity
    for s, y in pairs(2):
        learn(memory, s, y)
    assert memory.base is None
    assert not memory.is_identity
    memory.restart(2.0)
    assert memory.is_identity
    assert torch.equal(memory.dense(), 2 * torch.eye(N, dtype=torch.float64))
    memory.fold()
    assert memory.base is None


def test_mirroring_by_tiles_is_symmetric_to_the_last_bit():
    n = 300
    memory = QuasiNewtonMatrix.identity(torch.zeros(n, dtype=torch.float64), block=2)
    for s, y in pairs(4, n):
        learn(memory, s, y)
    assert torch.equal(memory.base, memory.base.T)
