"""What the command line chose, and the clock."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Setting:
    """device: where all methods run; is_quick: tiny sizes, to see that everything works; with_slow_peers: also those
    that take minutes; seeds: of the starts; out: the folder of the figures; fashion_mnist: the folder of its files.
    """

    device: torch.device
    is_quick: bool
    with_slow_peers: bool
    seeds: int
    out: Path
    fashion_mnist: Path

    def now(self) -> float:
        """Seconds on a steady clock, after all work given to the device has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def say(message: str) -> None:
    """Progress, apart from the table."""
    print(f"  {message}", file=sys.stderr, flush=True)
