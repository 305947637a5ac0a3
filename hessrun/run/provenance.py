"""What a manifest says of where a run came from: protocol, versions, commit, device, threads."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hessrun import ranks
from hessrun.record.protocol import PROTOCOL
from hessrun.version import __version__

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: torch.device) -> dict[str, Any]:
    """The part of a manifest that does not depend on the configuration."""
    commit, dirty = _commit(Path.cwd())
    return {
        "created": now(),
        "protocol": PROTOCOL,
        "device": str(device),
        "device_name": _device_name(device),
        "threads": torch.get_num_threads(),
        "ranks": ranks.size(),
        "versions": {"hessrun": __version__, "python": platform.python_version()} | _versions(),
        "platform": platform.platform(),
        "commit": commit,
        "dirty": dirty,
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return _processor() or platform.processor() or platform.machine()


def _processor() -> str | None:
    """The processor's name as Linux gives it; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


@cache
def _commit(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the working folder and whether it has changes; None where it is no git checkout.

    Asked once: what a process runs is what it imported, whatever is committed while it runs.
    """

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603  (fixed words)
                ["git", *words],  # noqa: S607
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit, bool(git("status", "--porcelain", "--untracked-files=no"))
