"""The progress of a whole sweep or suite: cells done and failed, and the time left from the cells that have run so far.

Each cell, in whichever process a launcher runs it, adds a line to a file when it ends (`note`); the process that typed
the command reads it.
"""

import atexit
import contextlib
import json
import os
import statistics
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tqdm import tqdm

from hessrun.cli.outcomes import JobOutcome

# Where the file is, for the processes of launchers on this machine, which inherit the environment.
_VARIABLE = "HESSRUN_ENDED_CELLS"
_EVERY = 0.5
# These took no time of a run's, and tell nothing of the cells to come.
_INSTANT = ("skipped", "refused", "not run")


def note(outcome: JobOutcome, method: str, seconds: float) -> None:
    """A cell of a method has ended after so many seconds; nothing where no sweep of this machine asks."""
    path = os.environ.get(_VARIABLE)
    if path is None:
        return
    line = json.dumps({"method": method, "state": outcome.state, "code": outcome.exit_code, "seconds": seconds}) + "\n"
    with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
        file.write(line)


class Tally:
    """methods: of all cells; at_once: how many run side by side, None where that is not known."""

    def __init__(self, methods: Sequence[str], at_once: int | None) -> None:
        self._to_come, self._at_once = Counter(methods), at_once
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self.done = self.failed = 0

    def add(self, line: str) -> None:
        """A line of `note`."""
        cell = json.loads(line)
        self.done += 1
        self.failed += cell["code"] == 1 or cell["state"] == "refused"
        self._to_come[cell["method"]] -= 1
        if cell["state"] not in _INSTANT:
            self._seconds[cell["method"]].append(cell["seconds"])

    def left(self) -> float | None:
        """Seconds: the mean of the cells of the same method, or of all, for each to come; None before the first."""
        if not self._seconds or self._at_once is None:
            return None
        any_method = statistics.fmean(second for seconds in self._seconds.values() for second in seconds)
        each = {method: statistics.fmean(seconds) for method, seconds in self._seconds.items()}
        total = sum(max(count, 0) * each.get(method, any_method) for method, count in self._to_come.items())
        return total / self._at_once

    def __str__(self) -> str:
        left = self.left()
        told = f"{self.failed} failed" if self.failed else ""
        rest = f"about {tqdm.format_interval(left)} left" if left else ""
        return ", ".join(part for part in (told, rest) if part)


@contextmanager
def shown(methods: Sequence[str], *, at_once: int | None, show: bool) -> Iterator[None]:
    """A line on standard error while the cells inside run."""
    if not show:
        yield
        return
    path, tally = _file(), Tally(methods, at_once)
    position, over = path.stat().st_size, threading.Event()
    os.environ[_VARIABLE] = str(path)
    form = "{desc}: {n_fmt} of {total_fmt} cells [{elapsed}{postfix}]"
    with tqdm(total=len(methods), desc="sweep", leave=False, dynamic_ncols=True, bar_format=form) as bar:

        def look() -> None:
            nonlocal position
            with path.open(encoding="utf-8") as file:
                file.seek(position)
                lines = file.readlines()
            for line in lines:
                if line.endswith("\n"):  # else it is being written
                    position += len(line.encode())
                    tally.add(line)
            bar.set_postfix_str(str(tally), refresh=False)
            bar.n = tally.done
            bar.refresh()

        def watch() -> None:
            while not over.wait(_EVERY):
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            look()
            del os.environ[_VARIABLE]


@cache
def _file() -> Path:
    """One for the process: a launcher keeps its workers, and their environment, from sweep to sweep."""
    handle, name = tempfile.mkstemp(prefix="hessrun-cells-")
    os.close(handle)
    path = Path(name)
    atexit.register(path.unlink, missing_ok=True)
    return path
