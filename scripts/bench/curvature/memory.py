"""The peak memory of one exact Hessian: `python -m bench.curvature.memory LAYERS [--device cuda] [--quick]`.

A process of its own, in which the C library gives back what is freed: otherwise blocks that are left over from earlier
calls would hide what a call takes.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from bench.curvature.networks import digits_mlp
from bench.setting import Setting

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Blocks above so many bytes are mapped one by one (mallopt(3)).
_MAPPED_ABOVE = "65536"


def peak_bytes(setting: Setting, layers: int) -> float | None:
    """Bytes that the call adds at most to what is held before, its result included; None where that is not known."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(layers), "--device", setting.device.type]
        + ["--quick"] * setting.is_quick,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": _MAPPED_ABOVE},
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout) if done.returncode == 0 else None


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("layers", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    tiny = Setting(device, True, False, 1, Path(), Path())
    setting = Setting(device, chosen.quick, False, 1, Path(), Path())
    # What the libraries set up in their first call is not the call's.
    first = digits_mlp(tiny, torch.float32, hidden_layers=chosen.layers).risk
    first.hessian(first.x0)
    risk = digits_mlp(setting, torch.float32, hidden_layers=chosen.layers).risk
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = float(torch.cuda.memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        risk.hessian(risk.x0)
        print(torch.cuda.max_memory_allocated() - before)
        return
    before = _resident("VmRSS")
    _RESET.write_text("5")  # sets VmHWM back to VmRSS (proc_pid_clear_refs(5))
    risk.hessian(risk.x0)
    print(_resident("VmHWM") - before)


def _resident(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {name}.")
    return 1024 * float(found[1])


if __name__ == "__main__":
    _main()
