"""What became of the cells of one command: kept by the task and the sweeper, read when the command ends."""

from dataclasses import dataclass, field

# A process that a signal ended exits with this and the signal's number.
SIGNAL_BASE = 128


@dataclass(frozen=True)
class JobOutcome:
    """One cell, in words that cross processes.

    name: the run's folder or the overrides; state: finished, diverged, failed, interrupted, skipped or refused,
    or what a dry run found;
    line: a sentence; exit_code: what the command would exit with for this cell alone.
    loss, seconds, steps: of its last row, where there is one; planned: the steps that its budget allows.
    """

    name: str
    state: str
    line: str
    exit_code: int
    loss: float | None = None
    seconds: float | None = None
    steps: int | None = None
    planned: int | None = None


@dataclass
class Outcomes:
    """expected: cells of the sweep, 0 for a single run; found: those that have ended.

    command: the words that were typed; cells: the overrides of each cell of a suite, in place of the product of a
    sweep; stopped: why no cell is to follow, or nothing.
    """

    expected: int = 0
    command: list[str] = field(default_factory=list)
    cells: list[list[str]] | None = None
    stopped: str = ""
    found: list[JobOutcome] = field(default_factory=list)

    def exit_code(self) -> int:
        """0, 1 where a run failed, 2 where nothing ran because all was refused, or the signal's code."""
        codes = [outcome.exit_code for outcome in self.found]
        signals = [code for code in codes if code > 2]
        if signals:
            return signals[0]
        if codes and all(code == 2 for code in codes):
            return 2
        return 1 if any(codes) else 0


OUTCOMES = Outcomes()
