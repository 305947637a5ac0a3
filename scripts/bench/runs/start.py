"""From the command to its first row and its first step, beside `import torch`, each in a process of its own."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.setting import Setting, say
from bench.table import Row, median_ratio

_ROUNDS = 9
_POLL = 0.002
_PATIENCE = 600.0
_COMMAND = ("optimizer=lbfgs", "model=mlp")


def rows(setting: Setting) -> Iterator[Row]:
    """Medians of the ratios of runs one after the other; a first round does not count."""
    device = (f"device={setting.device.type}",)
    cases: dict[str, Callable[[], float]] = {
        "its first row": lambda: _until_rows(1, device),
        "its first step, without spectra": lambda: _until_rows(2, (*device, "curvature=off")),
        "its first step": lambda: _until_rows(2, device),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    peers: list[float] = []
    for turn in range(2 if setting.is_quick else _ROUNDS + 1):
        round_peer = _import_torch()
        seconds = {name: measure() for name, measure in cases.items()}
        if turn == 0:
            continue
        peers.append(round_peer)
        for name, value in seconds.items():
            found[name].append(value)
        say(f"start: import torch {round_peer:.3g} s, " + ", ".join(f"{n} {v:.3g} s" for n, v in seconds.items()))
    for name, ours in found.items():
        what = f"from `hessrun {' '.join(_COMMAND)}` to {name}"
        mine, theirs = f"{statistics.median(ours):.3g} s", f"import torch {statistics.median(peers):.3g} s"
        ratio = median_ratio(ours, peers)
        yield Row.at_most(what, mine, theirs, ratio, 2.0)


def _import_torch() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def _until_rows(count: int, words: Sequence[str]) -> float:
    """Seconds until the trace of a new run has so many rows; the process is ended then."""
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "hessrun", *_COMMAND, *words],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while _rows(Path(place)) < count:
                if process.poll() is not None and _rows(Path(place)) < count:
                    raise RuntimeError(f"hessrun ended before its row {count}: {process.communicate()[1]}")
                if time.perf_counter() - start > _PATIENCE:
                    raise RuntimeError(f"hessrun had no {count} rows after {_PATIENCE:g} s")
                time.sleep(_POLL)
            return time.perf_counter() - start
        finally:
            process.kill()
            process.communicate()


def _rows(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("outputs/*/*/trace.jsonl"))
