"""The peak of a run's memory is that of its own process."""

import subprocess
import sys

import numpy as np
import pytest

from hessrun.run.peak import forget_peak, peak_memory

_ASKED = "from hessrun.run.peak import peak_memory; print(peak_memory()['peak_memory_bytes'])"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process inherits the peak of its parent")
def test_the_process_that_started_it_is_no_part_of_it() -> None:
    held = np.ones(2**27)  # 1 GiB
    done = subprocess.run([sys.executable, "-c", _ASKED], capture_output=True, text=True, check=True)
    assert 2**24 < int(done.stdout) < held.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a peak cannot be forgotten")
def test_what_was_held_before_is_forgotten() -> None:
    held = np.ones(2**25)
    del held
    forget_peak()
    before = peak_memory()["peak_memory_bytes"]
    held = np.ones(2**25)
    assert peak_memory()["peak_memory_bytes"] - before > 0.9 * held.nbytes
