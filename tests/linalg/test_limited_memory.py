"""The product of L-BFGS against the two-loop recursion and the dense recursion."""

import pytest
import torch

from hessrun.linalg.limited_memory import LimitedMemory

N = 12
EPS = torch.finfo(torch.float64).eps


def pairs(count):
    generator = torch.Generator().manual_seed(1)
    A = torch.diag(torch.logspace(-1, 1, N, dtype=torch.float64))
    return [(s, A @ s) for s in torch.randn(count, N, generator=generator, dtype=torch.float64)]


def two_loops(kept, gamma, v):
    """Nocedal & Wright, algorithm 7.4."""
    q, alphas = v.clone(), []
    for s, y in reversed(kept):
        alphas.append(torch.dot(s, q) / torch.dot(y, s))
        q = q - alphas[-1] * y
    r = gamma * q  # a number, or the diagonal of the initial matrix
    for (s, y), alpha in zip(kept, reversed(alphas), strict=True):
        r = r + (alpha - torch.dot(y, r) / torch.dot(y, s)) * s
    return r


def dense(kept, gamma, v):
    """Nocedal & Wright, eq. 6.17, from gamma I."""
    H = torch.diag(gamma * torch.ones(N, dtype=torch.float64))
    for s, y in kept:
        left = torch.eye(N, dtype=torch.float64) - torch.outer(s, y) / torch.dot(y, s)
        H = left @ H @ left.T + torch.outer(s, s) / torch.dot(y, s)
    return H @ v


def diagonal(seen):
    """Half BFGS, half DFP, pair by pair: the whole matrix is formed (Nocedal & Wright, eq. 6.19 and 6.13), and all but
    its diagonal dropped.
    """
    s, y = seen[0]
    B = torch.eye(N, dtype=torch.float64) * torch.dot(y, y) / torch.dot(y, s)
    for s, y in seen:
        ys = torch.dot(y, s)
        bfgs = B - torch.outer(B @ s, B @ s) / (s @ B @ s) + torch.outer(y, y) / ys
        left = torch.eye(N, dtype=torch.float64) - torch.outer(y, s) / ys
        dfp = left @ B @ left.T + torch.outer(y, y) / ys
        D = 1 / (0.5 * bfgs + 0.5 * dfp).diagonal()
        B = torch.diag(torch.dot(y, D * y) / ys / D)
    return 1 / B.diagonal()


def initial(scaling, seen):
    if scaling == "none":
        return 1.0
    if scaling == "diagonal":
        return diagonal(seen)
    s, y = seen[-1] if scaling == "every" else seen[0]
    return float(s @ y / (y @ y))


def taken_up(limited, s, y, v, curvature=EPS):
    """H v after the pair, and whether it was taken up, by the way that an iteration takes."""
    for place, part in zip(limited.spare, (s, y), strict=True):
        place.copy_(part)
    minus, taken = limited.take(*limited.spare, v, curvature=curvature)
    return -minus, taken


@pytest.mark.parametrize("scaling", ["diagonal", "every", "first", "none"])
@pytest.mark.parametrize("memory", [1, 2, 5, 30])
def test_product_equals_both_recursions(memory, scaling):
    limited = LimitedMemory.empty(torch.zeros(N, dtype=torch.float64), memory=memory, scaling=scaling)
    v = torch.linspace(-1, 2, N, dtype=torch.float64)
    assert torch.equal(limited.product(v), v)
    seen = []
    for k, (s, y) in enumerate(pairs(13)):
        if k % 4 == 3:
            # A pair of negative curvature is left out, and its slot does no harm.
            before = limited.product(v)
            product, taken = taken_up(limited, s, -y, v)
            assert not taken
        else:
            seen.append((s, y))
            product, taken = taken_up(limited, s, y, v)
            assert taken
            gamma = initial(scaling, seen)
            before = two_loops(seen[-memory:], gamma, v)
            assert torch.allclose(product, dense(seen[-memory:], gamma, v), rtol=1e-9, atol=1e-9)
        assert torch.allclose(product, before, rtol=1e-9, atol=1e-9)
        assert torch.allclose(limited.product(v), product, rtol=1e-9, atol=1e-9)
        assert torch.allclose(limited.product(y), s, rtol=1e-9, atol=1e-9) or k % 4 == 3  # secant equation
        assert torch.allclose(limited.dense() @ v, product, rtol=1e-9, atol=1e-9)
    limited.restart()
    assert torch.equal(limited.product(v), v)


def test_a_pair_whose_squares_underflow_is_left_out():
    limited = LimitedMemory.empty(torch.zeros(1), memory=3)
    s, y = torch.tensor([1e-10]), torch.tensor([1e-25])
    product, taken = taken_up(limited, s, y, torch.ones(1), curvature=1e-7)
    assert not taken
    assert torch.equal(product, torch.ones(1))


def test_long_vectors_are_multiplied_stretch_by_stretch():
    n = 2**17 + 5
    generator = torch.Generator().manual_seed(2)
    limited = LimitedMemory.empty(torch.zeros(n, dtype=torch.float64), memory=3, scaling="every")
    v, kept = torch.randn(n, generator=generator, dtype=torch.float64), []
    for _ in range(5):
        s = torch.randn(n, generator=generator, dtype=torch.float64)
        y = s * torch.linspace(0.5, 2, n, dtype=torch.float64)
        kept.append((s, y))
        product, _ = taken_up(limited, s, y, v)
    expected = two_loops(kept[-3:], float(s @ y / (y @ y)), v)
    assert (product - expected).norm() <= 1e-11 * expected.norm()
