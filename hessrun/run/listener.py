"""What a run tells whoever listens: how it stands between two steps, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from hessrun.objective import Evaluation, EvaluationCounts
from hessrun.record import Spectrum
from hessrun.status import Status


class Listener(Protocol):
    """Is told of a run; what it does is on the logging clock."""

    def started(self) -> None: ...

    def row(self, row: dict[str, Any]) -> bool | None:
        """A recorded step; True stops the run."""

    def spectrum(self, spectrum: Spectrum, x: Tensor) -> None: ...

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Nothing of `step` has been recorded. `snapshot`, for a checkpoint, may be called until the next step."""

    def ended(self, outcome: "Outcome") -> None: ...

    @property
    def interrupted(self) -> bool: ...

    def wants_checkpoint(self, step: int) -> bool:
        """`between` is called before the next step, and wants none after that."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. x: [n], the last point; best: the best finite point that was looked at."""

    status: Status
    steps: int
    seconds: float
    x: Tensor
    best: Evaluation
    counts: EvaluationCounts
