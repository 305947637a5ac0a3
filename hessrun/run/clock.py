"""Four clocks, apart: only the optimizer's is the wall time of a comparison."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch

Part = Literal["optimizer", "metrics", "curvature", "logging"]


class Clock:
    """Seconds spent on each part of a run. On CUDA the device is waited for where a stretch begins and ends."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spent: dict[Part, float] = dict.fromkeys(("optimizer", "metrics", "curvature", "logging"), 0.0)
        self._began = 0.0

    @contextmanager
    def on(self, part: Part) -> Iterator[None]:
        """Count what happens inside as time of `part`, also where it raises."""
        self._synchronise()
        self._began = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            self._spent[part] += time.perf_counter() - self._began

    def seconds(self, part: Part) -> float:
        """Seconds of `part` in the stretches that have ended."""
        return self._spent[part]

    def running(self, part: Part) -> float:
        """Seconds of `part` including the stretch under way; does not wait for the device."""
        return self._spent[part] + time.perf_counter() - self._began

    def dump(self) -> dict[Part, float]:
        """Seconds by part, of the stretches that have ended; `load` takes them back."""
        return dict(self._spent)

    def load(self, spent: Mapping[Part, float]) -> None:
        """Go on from the seconds that `dump` gave."""
        self._spent.update({part: float(spent[part]) for part in self._spent})

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
