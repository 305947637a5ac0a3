"""Dense matrices that do not fit are refused with figures."""

import pytest
import torch

from hessrun.errors import TooLargeError
from hessrun.linalg.memory import available_bytes, require_matrices


@pytest.mark.parametrize(("n", "size"), [(10**7, r"727\.6 TiB"), (10**6, r"7\.3 TiB"), (20_000, r"3\.0 GiB")])
def test_what_is_too_large(n, size, monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 1000)
    message = rf"BFGS at n = {n:,} needs {size} .* the limit here is 1,000 bytes, .* Use lbfgs instead"
    with pytest.raises(TooLargeError, match=message):
        require_matrices(1, n, torch.float64, torch.device("cpu"), what="BFGS", instead="lbfgs")


def test_what_fits():
    assert available_bytes(torch.device("cpu")) > 2**20
    require_matrices(2, 10, torch.float64, torch.device("cpu"), what="BFGS", instead="lbfgs")
