"""Numbers on the host: from its own memory, and from a device by one transfer."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hessrun.linalg import host
from hessrun.linalg.host import arrays, numbers


class Calls(TorchDispatchMode):
    """The names of the operations that are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=["host", "device", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """`device` is the host's memory read as that of a device is."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    if request.param == "device":
        monkeypatch.setattr(host, "_is_on_host", lambda tensor: False)
    return "cuda" if request.param == "cuda" else "cpu"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_those_of_the_tensors(device: str, dtype: torch.dtype) -> None:
    x = torch.tensor([1.5, -0.25, float("inf")], dtype=dtype, device=device)
    assert numbers(*x) == [1.5, -0.25, float("inf")]
    one, row, none = arrays(x[0], x, x[:0])
    assert [each.dtype for each in (one, row, none)] == [np.float64] * 3
    assert (one.item(), row.tolist(), none.tolist()) == (1.5, [1.5, -0.25, float("inf")], [])


def test_a_device_is_read_once_and_the_host_without_stacking(device: str) -> None:
    x = torch.ones(3, dtype=torch.float64, device=device)
    scalars = x.unbind()
    with Calls() as of_numbers:
        numbers(*scalars)
    with Calls() as of_arrays:
        arrays(x, *scalars)
    if host._is_on_host(x):
        assert of_numbers.names == ["_local_scalar_dense"] * 3
        assert "cat" not in of_arrays.names
    else:
        assert [of_numbers.names.count(name) for name in ("stack", "_local_scalar_dense")] == [1, 0]
        assert of_arrays.names.count("cat") == 1
