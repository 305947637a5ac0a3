"""The device, number type and threads that a configuration names."""

import os

import torch
from threadpoolctl import threadpool_limits

from hessrun import ranks
from hessrun.cli.side_by_side import cores
from hessrun.errors import OptionError
from hessrun.options import choice, integer
from hessrun.run.heap import keep_freed_memory

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
        if ranks.size() > 1 and index:
            raise OptionError(f"device={name}: several ranks take a CUDA device each; use device=cuda.")
        if not torch.cuda.is_available():
            raise OptionError("device=cuda: this machine (or this build of torch) has no CUDA; use device=cpu.")
        if index and int(index) >= torch.cuda.device_count():
            raise OptionError(f"device={name}: there are {torch.cuda.device_count()} CUDA devices, counted from 0.")
        _make_cuda_repeatable()
        if ranks.size() > 1:
            return _own_cuda_device()
    return torch.device(str(name))


def _own_cuda_device() -> torch.device:
    """The one of this rank, which others of this machine do not use."""
    there, needed = torch.cuda.device_count(), ranks.on_this_machine()
    if needed > there:
        raise OptionError(f"device=cuda: there are {there} CUDA devices for {needed} ranks; start {there}.")
    device = torch.device("cuda", ranks.place().local_rank)
    torch.cuda.set_device(device)
    return device


def _make_cuda_repeatable() -> None:
    """Deterministic kernels, and no TF32: the same x gives the same value, in the precision that was asked for."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def prepare_host(threads: object) -> None:
    """Keep freed memory, and set the CPU threads of torch and of the linear algebra beside it.

    threads: None leaves their own choice. Where ranks share a machine, it is as many of its processors as there are for
    each: torchrun's own choice is 1.
    """
    keep_freed_memory()
    if threads is None and ranks.size() > 1:
        threads = max(1, cores() // ranks.on_this_machine())
    if threads is None:
        return
    integer("threads", threads, minimum=1)
    torch.set_num_threads(int(str(threads)))
    threadpool_limits(int(str(threads)), user_api="blas")
