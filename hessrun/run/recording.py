"""What a run leaves on disk while it runs: rows, spectra, checkpoints and its status."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hessrun import ranks
from hessrun.errors import FolderTakenError, HessrunError, RecordError
from hessrun.options import integer, positive
from hessrun.record import RunWriter, Spectrum
from hessrun.record.lock import FolderLock
from hessrun.record.schema import LOG, MANIFEST
from hessrun.record.writer import clear, cut
from hessrun.run import checkpoint
from hessrun.run.checkpoint import Checkpoint
from hessrun.run.listener import Outcome
from hessrun.run.loggers import NoLogger
from hessrun.run.peak import forget_peak, peak_memory
from hessrun.run.provenance import now
from hessrun.run.signals import Signals
from hessrun.status import Status

# Checkpoints take no more than this share of a run's time, whatever their interval.
_SHARE = 0.05
# Where the manifest keeps it.
REFERENCE_GRADIENT = "reference_gradient_seconds"


class Progress:
    """Shows a run to a person; this one shows nothing."""

    def update(self, row: dict[str, Any]) -> None:
        """A recorded step."""

    def close(self) -> None:
        """The run has ended."""


@dataclass(frozen=True)
class CheckpointPlan:
    """When a run's state is kept. Neither changes the path that is taken.

    seconds, steps: from one checkpoint to the next, above 0 and 1 or above; None is never by that measure. Writing them
    takes at most a twentieth of the time.
    keep_bytes: a run that ended keeps its state up to so many bytes, 0 or above, so that a larger budget extends it; a
    larger one is dropped to x alone, and such a run is extended by running it anew.
    """

    seconds: float | None = 60.0
    steps: int | None = None
    keep_bytes: int = 16 * 2**20

    def __post_init__(self) -> None:
        if self.seconds is not None:
            positive("checkpoints.seconds", self.seconds)
        if self.steps is not None:
            integer("checkpoints.steps", self.steps, minimum=1)
        integer("checkpoints.keep_bytes", self.keep_bytes, minimum=0)


class Recording:
    """Writes the folder, once the start has been evaluated. SIGINT and SIGTERM end the run after its step.

    reference_gradient: times one, in seconds, before the run and after it, unless a signal ends it; a run that
        goes on keeps the first one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: str,
        manifest: dict[str, Any],
        plan: CheckpointPlan,
        progress: Progress,
        reference_gradient: Callable[[], float],
        logger: NoLogger | None = None,
        lock: FolderLock | None = None,
        resume: Checkpoint | None = None,
    ) -> None:
        self._folder, self._config, self._manifest = folder, config, manifest
        self._plan, self._progress, self._lock, self._resume = plan, progress, lock, resume
        self._logger, self._reference_gradient = logger or NoLogger(), reference_gradient
        self._writer: RunWriter | None = None
        self._made: list[Path] = []
        self._started = now()
        forget_peak()
        self._signals = Signals()
        self._saved_at, self._saving, self._saved_step = time.perf_counter(), 0.0, 0 if resume is None else resume.step
        self._step, self._trace_bytes = self._saved_step, 0
        self._snapshot: Callable[[], dict[str, Any]] | None = None
        self.last_row: dict[str, Any] | None = None

    @property
    def signal(self) -> int | None:
        """The number of the one that ends the run."""
        return self._signals.noted

    @property
    def has_started(self) -> bool:
        return self._writer is not None

    @property
    def interrupted(self) -> bool:
        return self.signal is not None

    def wants_checkpoint(self, step: int) -> bool:
        plan = self._plan
        if plan.steps is not None and step - self._saved_step >= plan.steps:
            return True
        if plan.seconds is None:
            return False
        return time.perf_counter() - self._saved_at > max(plan.seconds, self._saving / _SHARE)

    @property
    def writer(self) -> RunWriter:
        if self._writer is None:
            raise RuntimeError("a run is recorded after it has started")
        return self._writer

    def started(self) -> None:
        if REFERENCE_GRADIENT not in self._manifest:
            self._manifest = self._manifest | {REFERENCE_GRADIENT: self._reference_gradient()}
        ranks.together(self._open)
        self._tell("started", self._folder, self._manifest, self._config)
        self._signals.catch()

    def _open(self) -> None:
        folder = self._folder
        self._made = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = FolderLock(folder)
                if (folder / MANIFEST).exists():
                    raise FolderTakenError(f"{folder}: another process has run it meanwhile.")
            if self._resume is None:
                clear(folder)
            else:
                cut(folder, step=self._resume.step, trace_bytes=self._resume.trace_bytes)
            self._writer = RunWriter(folder, config=self._config, manifest=self._manifest)
            self._status(Status.RUNNING)
        except OSError as error:
            raise RecordError(f"{folder}: cannot be written to ({error.strerror}).") from error

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._step, self._snapshot, self._trace_bytes = step, snapshot, self.writer.trace_bytes
        if self.wants_checkpoint(step):
            self._save()

    def _save(self) -> None:
        began = time.perf_counter()
        packed = self._packed()
        if packed is not None:
            self.writer.sync()
            checkpoint.save(self._folder, packed)
        self._saved_at = time.perf_counter()
        self._saving, self._saved_step = self._saved_at - began, self._step

    def _packed(self) -> dict[str, Any] | None:
        """None where the run cannot be resumed: a third party's state that no checkpoint can hold."""
        if self._snapshot is None:
            return None
        try:
            loop = self._snapshot()
        except HessrunError as error:
            self._plan = CheckpointPlan(seconds=None, steps=None, keep_bytes=0)
            self.warn(str(error))
            return None
        return checkpoint.pack(self._manifest.get("run_id", ""), self._step, self._trace_bytes, loop)

    def warn(self, sentence: str) -> None:
        """Add a warning to the manifest, also before the run has started."""
        known = self._manifest.get("warnings", [])
        if sentence in known:
            return
        self._manifest = self._manifest | {"warnings": [*known, sentence]}
        if self._writer is not None:
            with contextlib.suppress(OSError):  # a full disk
                self._writer.warn(sentence)

    def row(self, row: dict[str, Any]) -> None:
        self.writer.row(row)
        self.last_row = row
        self._progress.update(row)
        self._tell("row", row)

    def spectrum(self, spectrum: Spectrum, x: Tensor) -> None:
        self.writer.spectrum(spectrum, x.detach().cpu().numpy())
        self._tell("spectrum", spectrum)

    def _tell(self, what: str, *facts: Any) -> None:
        """Tell the logger; one that fails is named and left, since the record does not depend on it."""
        try:
            getattr(self._logger, what)(*facts)
        except Exception as error:  # noqa: BLE001  (whatever a logger of the user's own raises)
            name, self._logger = type(self._logger).__name__, NoLogger()
            self.warn(f"The logger {name} failed at `{what}` and was left: {type(error).__name__}: {error}")

    def ended(self, outcome: Outcome) -> None:
        """Keep the state where the run may go on from it: always where it was interrupted.

        Until the status says that it ended, a checkpoint to go on from stays beside the final vector.
        """
        facts: dict[str, Any] = {
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "best_loss": float(outcome.best.value),
        }
        if outcome.status is not Status.INTERRUPTED:  # who waits for it to end is not kept by one gradient more
            facts[REFERENCE_GRADIENT] = self._reference_gradient()
        kept = None
        if outcome.status is Status.INTERRUPTED or outcome.status.is_of_the_budget:
            kept = self._packed()
        if kept is not None and outcome.status is not Status.INTERRUPTED:
            kept = kept if checkpoint.state_bytes(kept["loop"]) <= self._plan.keep_bytes else None
        self.writer.make_room()
        final = checkpoint.final(outcome.steps, outcome.x, outcome.best.x)
        checkpoint.save(self._folder, final if kept is None else kept | final)
        self._status(outcome.status, **facts)
        checkpoint.drop_previous(self._folder)

    def failed(self, reason: str, trace: str) -> None:
        """Keep the traceback in run.log and the reason in status.json, in the room that was held for them."""
        self.writer.make_room()
        try:
            with (self._folder / LOG).open("a", encoding="utf-8") as file:
                file.write(trace)
            self._status(Status.FAILED, reason=reason)
        except OSError:  # not even that: the last status says `running`, and the lock that nobody does
            pass

    def discard(self, reason: str, trace: str) -> None:
        """Leave nothing of a run that its first step showed to be misuse; where its folder was there, `failed`."""
        if self._folder not in self._made:
            self.failed(reason, trace)
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        for parent in self._made[1:]:
            with contextlib.suppress(OSError):  # others have come to be in it
                parent.rmdir()

    def _status(self, status: Status, *, reason: str | None = None, **facts: Any) -> None:
        facts["started"], facts["ended"] = self._started, None
        if status is not Status.RUNNING:
            facts |= {"ended": now()} | peak_memory()
        self.writer.status(state=status.state.value, status=status.value, reason=reason or status.sentence, **facts)

    def close(self) -> None:
        self._progress.close()
        self._signals.release()
        if self._writer is not None:
            self._tell("close")
            self._writer.close()
        if self._lock is not None:
            self._lock.release()
