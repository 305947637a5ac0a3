"""Freed memory stays with the process, where the C library can be asked to keep it."""

import ctypes
import platform
import subprocess
import sys

import pytest

from hessrun.run.heap import keep_freed_memory, release_freed_memory

_FAULTS = """
import resource, sys
import numpy as np
from hessrun.run.heap import keep_freed_memory

def use():
    held = [np.ones(2**21) for _ in range(3)]  # 16 MiB each

if "keep" in sys.argv:
    assert keep_freed_memory()
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_is_glibc = platform.libc_ver()[0] == "glibc"


@pytest.mark.skipif(not _is_glibc, reason="another C library")
def test_the_same_pages_serve_again():
    def faults(*words: str) -> int:
        return int(subprocess.run([sys.executable, "-c", _FAULTS, *words], capture_output=True, check=True).stdout)

    assert faults("keep") < 0.1 * faults()


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
    release_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
    release_freed_memory()
