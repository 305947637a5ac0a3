"""How a run stands or ended: one sentence each, and the state that the record keeps.

`Status` says why; `State` is the coarse word that sweeps, reports and exit codes go by.
"""

from enum import StrEnum


class RunState(StrEnum):
    """The coarse state of a run on disk."""

    RUNNING = "running"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Status(StrEnum):
    """Why a run stands where it does. `sentence` is for people, `state` for programs."""

    RUNNING = "running"
    CONVERGED = "converged"
    TARGET_REACHED = "target_reached"
    ITERATIONS_SPENT = "iterations_spent"
    EVALUATIONS_SPENT = "evaluations_spent"
    SECONDS_SPENT = "seconds_spent"
    STOPPED = "stopped"
    LINE_SEARCH_FAILED = "line_search_failed"
    STALLED = "stalled"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]

    @property
    def state(self) -> RunState:
        match self:
            case Status.RUNNING | Status.DIVERGED | Status.FAILED | Status.INTERRUPTED:
                return RunState(self.value)
            case _:
                return RunState.FINISHED

    @property
    def is_method_failure(self) -> bool:
        """The method could not go on by itself, though the budget was not spent."""
        return self in (Status.LINE_SEARCH_FAILED, Status.STALLED)

    @property
    def is_of_the_budget(self) -> bool:
        """A larger budget would have gone on."""
        return self in (Status.ITERATIONS_SPENT, Status.EVALUATIONS_SPENT, Status.SECONDS_SPENT)


_SENTENCES = {
    Status.RUNNING: "The run is under way.",
    Status.CONVERGED: "The largest component of the gradient fell below the tolerance.",
    Status.TARGET_REACHED: "The training loss reached the target.",
    Status.ITERATIONS_SPENT: "The budget of iterations is spent.",
    Status.EVALUATIONS_SPENT: "The budget of passes over the data is spent.",
    Status.SECONDS_SPENT: "The budget of optimizer seconds is spent.",
    Status.STOPPED: "The caller stopped the run.",
    Status.LINE_SEARCH_FAILED: "The line search found no step that lowers the loss enough.",
    Status.STALLED: "The method found no step that changes the parameters.",
    Status.DIVERGED: "The loss, its gradient or its curvature is no longer finite.",
    Status.FAILED: "The run ended with an error.",
    Status.INTERRUPTED: "The run was interrupted.",
}
