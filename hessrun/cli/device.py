"""The device, number type and threads that a configuration names."""

import os

import torch
from threadpoolctl import threadpool_limits

from hessrun.errors import OptionError
from hessrun.options import choice, integer

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def dtype_of(name: object) -> torch.dtype:
    """float32 or float64."""
    choice("dtype", name, tuple(DTYPES))
    return DTYPES[str(name)]


def device_of(name: object) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:1`. Raises OptionError where there is none such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = str(name).partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise OptionError(f"device={name!r}: must be auto, cpu, cuda or cuda:N.")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise OptionError("device=cuda: this machine (or this build of torch) has no CUDA; use device=cpu.")
        if index and int(index) >= torch.cuda.device_count():
            raise OptionError(f"device={name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0.")
        _make_cuda_repeatable()
    return torch.device(str(name))


def _make_cuda_repeatable() -> None:
    """Deterministic kernels, and no TF32: the same x gives the same value, in the precision that was asked for."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def set_threads(threads: object) -> None:
    """CPU threads of torch and of the linear algebra beside it; None leaves their own choice."""
    if threads is None:
        return
    integer("threads", threads, minimum=1)
    torch.set_num_threads(int(str(threads)))
    threadpool_limits(int(str(threads)), user_api="blas")
