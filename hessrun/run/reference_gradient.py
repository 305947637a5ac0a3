"""A gradient at the start point, timed: what a machine that drifts is measured against.

The seconds of a run over the mean of this, before and after it, are its cost in gradients, which a slower hour of the
machine leaves alone.
"""

import statistics
import time

import torch

from hessrun import ranks
from hessrun.problems import Problem

_ENOUGH = 0.02
_AT_LEAST = 5
_AT_MOST = 0.2


def reference_gradient_seconds(problem: Problem) -> float:
    """Seconds of one gradient of the training loss at x0, the median of some; never counted, on none of the clocks.

    At least five are timed, and as many as fit 20 ms; where they are slow, no more than fit 0.2 s, but one.
    """
    train, x = problem.train.uncounted(), problem.x0
    spent: list[float] = []
    while not spent or (sum(spent) < _AT_MOST and (len(spent) < _AT_LEAST or sum(spent) < _ENOUGH)):
        _wait_for(train.device)
        began = time.perf_counter()
        train.evaluate(x)
        _wait_for(train.device)
        # Agreed, so that all ranks take as many.
        spent.append(ranks.agree(time.perf_counter() - began))
    return statistics.median(spent)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
