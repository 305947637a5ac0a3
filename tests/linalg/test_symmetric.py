"""The product that reads one triangle against the plain one."""

import pytest
import torch

from hessrun.linalg.symmetric import symmetric_product


@pytest.mark.parametrize("n", [1, 999, 1000, 1100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_product(n: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(n)
    M = torch.randn(n, n, generator=generator, dtype=dtype)
    M = M + M.T
    wide = torch.randn(n, 3, generator=generator, dtype=dtype)
    for v in (wide[:, 1], wide[:, 1].contiguous()):
        kept = M.clone(), v.clone()
        product = symmetric_product(M, v)
        assert product.dtype == dtype
        assert torch.allclose(product.double(), M.double() @ v.double(), rtol=0, atol=50 * n * torch.finfo(dtype).eps)
        assert torch.equal(product, symmetric_product(M, v))
        assert torch.equal(M, kept[0])
        assert torch.equal(v, kept[1])
        product.add_(1)


def test_numbers_that_are_not_finite_show_in_the_product() -> None:
    M, v = torch.eye(1100, dtype=torch.float64), torch.ones(1100, dtype=torch.float64)
    M[7, 9] = M[9, 7] = torch.nan
    assert symmetric_product(M, v).isnan().nonzero().flatten().tolist() == [7, 9]
    v[3] = torch.inf
    assert not bool(symmetric_product(torch.eye(1100, dtype=torch.float64), v).isfinite().all())


def test_a_scale_of_a_power_of_two_changes_no_bit() -> None:
    M = torch.randn(1100, 1100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    M, v = M + M.T, M[0].clone()
    assert torch.equal(symmetric_product(M * 2.0**26, v), symmetric_product(M, v) * 2.0**26)
