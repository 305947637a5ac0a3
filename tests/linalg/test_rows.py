"""Products with few long rows, cut into stretches, against the plain ones."""

import pytest
import torch

from hessrun.linalg.rows import row_combination, row_products

LENGTHS = {"short": 100, "whole stretches": 2**17, "a rest": 2**17 + 4095, "a single stretch": 4096}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("spaced", [False, True])
def test_they_are_the_plain_products(n, dtype, spaced):
    generator = torch.Generator().manual_seed(0)
    # A single stretch is long where there are many rows of it.
    count = 600 if n == 4096 else 20
    rows = torch.randn(count, 2 if spaced else 1, n, generator=generator, dtype=dtype)[:, -1]
    vectors = list(torch.randn(2, n, generator=generator, dtype=dtype))
    weights = torch.randn(count, generator=generator, dtype=dtype)
    allowed = 10 * torch.finfo(dtype).eps
    exact = rows.double()
    for chosen in (vectors, vectors[:1]):
        for found, v in zip(row_products(rows, chosen), chosen, strict=True):
            expected = exact @ v.double()
            assert (found - expected).abs().max() <= allowed * rows.norm(dim=1).max() * v.norm()
    found, expected = row_combination(vectors[0], rows, weights, of_v=0.5), exact.T @ weights.double()
    expected = expected + 0.5 * vectors[0].double()
    assert (found - expected).norm() <= allowed * expected.norm()
    assert torch.equal(vectors[0], row_combination(vectors[0], rows, 0 * weights))
