"""The listener of a rank that does not write: it keeps step with the one that does."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from hessrun import ranks
from hessrun.record import Spectrum
from hessrun.record.schema import LOG
from hessrun.run.listener import Outcome
from hessrun.run.signals import Signals
from hessrun.status import Status


class Following:
    """Takes part in what all ranks do where `Recording` does it, and writes nothing but why it failed.

    folder: the run's, which this rank need not see; reference_gradient: as for `Recording`; is_timed: one is to be
    timed at the start.
    """

    def __init__(self, folder: Path, *, reference_gradient: Callable[[], float], is_timed: bool) -> None:
        self._folder, self._reference_gradient, self._is_timed = folder, reference_gradient, is_timed
        self._signals = Signals()
        self.has_started = False
        self.last_row: dict[str, Any] | None = None

    @property
    def signal(self) -> int | None:
        """The number of the signal that this rank was sent."""
        return self._signals.noted

    @property
    def interrupted(self) -> bool:
        return self.signal is not None

    def wants_checkpoint(self, step: int) -> bool:
        return False

    def started(self) -> None:
        if self._is_timed:
            self._reference_gradient()
        ranks.together(lambda: None)
        self.has_started = True
        self._signals.catch()

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        pass

    def warn(self, sentence: str) -> None:
        pass

    def discard(self, reason: str, trace: str) -> None:
        pass

    def row(self, row: dict[str, Any]) -> None:
        self.last_row = row

    def spectrum(self, spectrum: Spectrum, x: Tensor) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        if outcome.status is not Status.INTERRUPTED:
            self._reference_gradient()

    def failed(self, reason: str, trace: str) -> None:
        """Add the traceback to run.log, where this rank sees the folder; rank 0 is told the reason."""
        with contextlib.suppress(OSError), (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"rank {ranks.rank()}:\n{trace}")

    def close(self) -> None:
        self._signals.release()
