"""What clocks, signals and checkpoints say between two steps, agreed among the ranks."""

from dataclasses import dataclass

from hessrun import ranks
from hessrun.run.listener import Listener


@dataclass(frozen=True)
class Standing:
    """seconds: of the optimizer, by rank 0's clock; interrupted: a signal came to any rank; wants_checkpoint: rank 0's
    recording does. The same on all ranks, and until the next look the only word on any of it."""

    seconds: float = 0.0
    interrupted: bool = False
    wants_checkpoint: bool = False


def stand(listener: Listener, *, step: int, seconds: float) -> Standing:
    """The standing at a step, where this rank's optimizer has run for so many seconds."""
    interrupted, wants_checkpoint = listener.interrupted, listener.wants_checkpoint(step)
    if ranks.size() == 1:
        return Standing(seconds, interrupted, wants_checkpoint)
    any_interrupted, any_wants, writer_seconds = ranks.largest(
        interrupted, wants_checkpoint, seconds if ranks.is_writer() else 0.0
    )
    return Standing(writer_seconds, any_interrupted > 0, any_wants > 0)
