"""SIGINT and SIGTERM, which end a run after its step instead of in the midst of it."""

import signal
from types import FrameType
from typing import Any

from hessrun import ranks


class SecondSignal(KeyboardInterrupt):
    """number: of the signal that ends the process at once."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Signals:
    """noted: the number of the first one since `catch`, or None.

    The second one ends the process at once (SecondSignal); not where it is one of several ranks, whose launcher
    sends them again, and kills what stays.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """From here on; outside the main thread nothing is caught: the caller's signals are the caller's."""
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:
                return

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.noted is None:
            self.noted = number
        elif ranks.size() == 1:
            raise SecondSignal(number)

    def release(self) -> None:
        """Put back what was there before."""
        for number, handler in self._before.items():
            # None is one that no Python code has set; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
