"""Drives an optimizer from its start to a status, and tells a listener what happens on the way."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from hessrun import ranks
from hessrun.curvature import diagnose
from hessrun.errors import NotFiniteError
from hessrun.linalg.host import numbers
from hessrun.objective import Evaluation, EvaluationCounts
from hessrun.optimizers import Optimizer, State
from hessrun.optimizers.plain import from_plain, to_plain
from hessrun.problems.problem import Problem
from hessrun.run.budget import Budget, Progress, decide, is_spent
from hessrun.run.clock import Clock
from hessrun.run.listener import Listener, Outcome
from hessrun.run.probe import Probe, with_stability_limit
from hessrun.run.standing import Standing, stand
from hessrun.status import Status

_CHECK_WITHOUT_EVALUATION = 10


@dataclass
class _Look:
    """What is known at one step; `evaluation` over the whole training split, or None where none was due."""

    step: int
    evaluation: Evaluation | None
    loss: float | None = None
    gradient_max: float | None = None


@dataclass
class Loop:
    """One run. log_every: steps between rows; it never touches x, the counts or the optimizer's clock.

    reached: the step that the run came to last, whether it has a row or not.
    """

    problem: Problem
    optimizer: Optimizer[Any]
    budget: Budget
    probe: Probe
    listener: Listener
    log_every: int = 1
    reached: int = field(init=False, default=0)

    _clock: Clock = field(init=False)
    _counts: EvaluationCounts = field(init=False)
    _best: Evaluation | None = field(init=False, default=None)
    _best_loss: float = field(init=False, default=math.inf)
    _memory: Tensor | None = field(init=False, default=None)
    _deferred: tuple[int, Tensor] | None = field(init=False, default=None)
    _first: float = field(init=False, default=math.nan)
    _stopped: bool = field(init=False, default=False)
    _recorded: int = field(init=False, default=-1)
    _standing: Standing = field(init=False, default=Standing())

    def run(self, snapshot: dict[str, Any] | None = None) -> Outcome:
        """From the start, or from where a snapshot was taken, to a status: the same rows, times aside."""
        train = self.problem.train
        self._clock = Clock(train.device)
        self._warm_up()
        if snapshot is None:
            self._counts = train.counts
            with self._clock.on("optimizer"):
                state = self.optimizer.init(self.problem)
        else:
            state = self._restore(snapshot)
        check_every = self.budget.check_every or (1 if state.evaluation is not None else _CHECK_WITHOUT_EVALUATION)
        self.listener.started()
        while True:
            if state.step != self._recorded:  # a signal may come before a step has been made
                self._between(state)
            self._stand(state, self._clock.seconds("optimizer"))
            if not self._is_stop(state, check_every):
                state = self._advance(state, self._next_stop(state.step, check_every))
                continue
            look = self._look(state, is_check=state.step % check_every == 0)
            status = self._decide(state, look)
            if status is not None and look.loss is None:
                look = self._look(state, is_check=True)
                status = self._decide(state, look) or status
            is_last = status is not None
            is_diagnosed = self._is_diagnosed(state, is_last=is_last)
            is_due = is_last or is_diagnosed or state.step % self.log_every == 0
            if is_due and state.step != self._recorded:
                self._record(state, look, is_diagnosed=is_diagnosed)
            self._look_at_curvature(state, is_last=is_last)
            if status is None and self._stopped:
                status = Status.STOPPED
            if status is not None:
                return self._end(state, status)
            state = self._advance(state, self._next_stop(state.step, check_every))

    def _warm_up(self) -> None:
        """One uncounted evaluation before the clock starts: the first call of everything is slower."""
        train, x = self.problem.train.uncounted(), self.problem.x0
        train.evaluate(x)
        if self.optimizer.decomposes:
            with train.curvature(x) as curvature:
                _ = curvature @ torch.ones_like(x)

    def _between(self, state: State) -> None:
        """Let the listener take a snapshot of what stands before anything of this step is recorded."""
        kept = {
            "counter": self.problem.train.counter.dump(),
            "clock": self._clock.dump(),
            "best": None if self._best is None else to_plain(self._best),
            "best_loss": self._best_loss,
            "first_gradient_max": self._first,
            "probe": self._memory,
            "deferred": None if self._deferred is None else list(self._deferred),
        }

        def snapshot() -> dict[str, Any]:
            start = asdict(self._counts)
            return kept | {
                "counts": start,
                "x": state.x,
                "optimizer": self.optimizer.dump(state),
                "random": torch.get_rng_state(),
            }

        with self._clock.on("logging"):
            self.listener.between(state.step, snapshot)

    def _restore(self, snapshot: dict[str, Any]) -> State:
        self.problem.train.counter.load(snapshot["counter"])
        self._counts = EvaluationCounts(**snapshot["counts"])
        self._clock.load(snapshot["clock"])
        self._best = from_plain(Evaluation, snapshot["best"])
        self._best_loss, self._first = snapshot["best_loss"], snapshot["first_gradient_max"]
        self._memory = snapshot["probe"]
        self._deferred = None if snapshot["deferred"] is None else (snapshot["deferred"][0], snapshot["deferred"][1])
        torch.set_rng_state(snapshot["random"])
        state: State = self.optimizer.load(snapshot["optimizer"])
        return state

    def _is_stop(self, state: State, check_every: int) -> bool:
        """A step that the run looks at; what merely interrupts a stretch, as a checkpoint, is none."""
        is_natural = state.step == 0 or state.step == self._next_stop(state.step - 1, check_every)
        return is_natural or state.failure is not None or self._standing.interrupted or self._is_spent(state)

    def _is_spent(self, state: State) -> bool:
        seconds = self._standing.seconds
        return is_spent(self.budget, step=state.step, seconds=seconds, passes=self._passes()) is not None

    def _next_stop(self, step: int, check_every: int) -> int:
        stops = [(step // every + 1) * every for every in (check_every, self.log_every)]
        if self.budget.iterations is not None:
            stops.append(max(step + 1, self.budget.iterations))
        look = self.probe.next_due(step)
        return min(stops if look is None else [*stops, look])

    def _advance(self, state: State, stop: int) -> State:
        first, is_limited = state.step, self.budget.seconds is not None or self.budget.passes is not None
        with self._clock.on("optimizer"):
            while state.step < stop and state.failure is None:
                at = self._stand(state, self._clock.running("optimizer"))
                # At the first step the listener has just been asked: what it wants by now, it gets after a step.
                is_due = state.step > first and (at.wants_checkpoint or (is_limited and self._is_spent(state)))
                if at.interrupted or is_due:
                    break
                state = self.optimizer.step(self.problem, state)
        return state

    def _stand(self, state: State, seconds: float) -> Standing:
        self.reached = state.step
        self._standing = stand(self.listener, step=state.step, seconds=seconds)
        return self._standing

    def _passes(self) -> float:
        spent = self.problem.train.counts - self._counts
        return spent.values + spent.gradients + spent.products + spent.hessian_columns

    def _look(self, state: State, *, is_check: bool) -> _Look:
        evaluation = state.evaluation
        with self._clock.on("metrics"):
            is_due = is_check or state.step % self.log_every == 0 or self._is_diagnosed(state, is_last=False)
            if evaluation is None and is_due:
                # The method moves x in place: what is kept is a copy.
                evaluation = self.problem.train.uncounted().evaluate(state.x.clone())
            if is_due:
                ranks.require_same(state.x, f"x at step {state.step}")
            look = _Look(state.step, evaluation)
            if evaluation is not None:
                loss, largest = numbers(evaluation.value, evaluation.gradient.abs().amax())
                is_finite = math.isfinite(loss) and math.isfinite(largest)
                if self._best is None or (is_finite and not loss >= self._best_loss):
                    self._best, self._best_loss = evaluation, loss
                # At a saddle the gradient is 0, and no scale for what comes after it.
                if not self._first > 0:
                    self._first = largest
                if is_check:
                    look.loss, look.gradient_max = loss, largest
        return look

    def _decide(self, state: State, look: _Look) -> Status | None:
        return decide(
            self.budget,
            Progress(
                step=state.step,
                seconds=self._standing.seconds,
                passes=self._passes(),
                loss=look.loss,
                gradient_max=look.gradient_max,
                first_gradient_max=self._first,
                negative_curvature=self.optimizer.insight(state).negative_curvature,
                failure=state.failure,
                interrupted=self._standing.interrupted,
            ),
        )

    def _is_diagnosed(self, state: State, *, is_last: bool) -> bool:
        """This step has a row that says how far the method's quasi-Newton matrix is from the Hessian."""
        if self.optimizer.is_diagnosed and (is_last or state.step % self.log_every == 0):
            return True
        return self.probe.quasi_newton and (is_last or self.probe.is_due(state.step))

    def _record(self, state: State, look: _Look, *, is_diagnosed: bool) -> None:
        clock = self._clock
        with clock.on("metrics"):
            metrics = self.problem.metrics(state.x, look.evaluation)
        diagnosis = self._diagnose(state, look) if is_diagnosed else {}
        spent = self.problem.train.counts - self._counts
        row = {
            "step": state.step,
            "seconds": clock.seconds("optimizer"),
            "seconds_metrics": clock.seconds("metrics"),
            "seconds_curvature": clock.seconds("curvature"),
            "seconds_logging": clock.seconds("logging"),
            "values": spent.values,
            "gradients": spent.gradients,
            "products": spent.products,
            "hessian_columns": spent.hessian_columns,
            **metrics,
            "step_size": state.step_size,
            "state_bytes": self.optimizer.state_bytes(state),
            **self.optimizer.columns(state),
            **diagnosis,
        }
        self._recorded = state.step
        with clock.on("logging"):
            self._stopped = ranks.largest(bool(self.listener.row(row)))[0] > 0

    def _diagnose(self, state: State, look: _Look) -> dict[str, float]:
        approximation = self.optimizer.insight(state).approximation
        if approximation is None or look.evaluation is None or not look.evaluation.is_finite():
            return {}
        with self._clock.on("curvature"):
            try:
                return diagnose(
                    self.problem.train.uncounted(),
                    look.evaluation,
                    approximation.matrix,
                    is_inverse=approximation.is_inverse,
                    learned=approximation.learned,
                )
            except NotFiniteError:
                return {}

    def _look_at_curvature(self, state: State, *, is_last: bool) -> None:
        """Probe where it is due; after the next step where that decomposes the Hessian, or is the first of the run."""
        insight = self.optimizer.insight(state)
        if self._deferred is not None:
            step, x = self._deferred
            self._deferred = None
            self._probe(step, x, insight)
        if self.probe.is_off or not (is_last or self.probe.is_due(state.step)):
            return
        # Nobody waits for a spectrum to see that a run trains; a method's own matrix would have changed by then.
        is_start = state.step == 0 and not self.probe.quasi_newton
        if (self.optimizer.decomposes or is_start) and not is_last:
            self._deferred = (state.step, state.x.clone())
        else:
            self._probe(state.step, state.x, insight)

    def _probe(self, step: int, x: Tensor, insight: Any) -> None:
        if not bool(torch.isfinite(x).all()):
            return
        with self._clock.on("curvature"):
            try:
                spectrum, self._memory = self.probe.look(
                    self.problem.train.uncounted(), x, insight, self._memory, step=step
                )
            except NotFiniteError:  # a run that diverges may be finite where its Hessian is not: there is no spectrum
                return
        with self._clock.on("logging"):
            self.listener.spectrum(with_stability_limit(spectrum, self.optimizer), x)

    def _end(self, state: State, status: Status) -> Outcome:
        if self._best is None:
            raise RuntimeError("a run looks at its start before it ends")
        outcome = Outcome(
            status,
            state.step,
            self._clock.seconds("optimizer"),
            state.x.clone(),
            self._best,
            self.problem.train.counts - self._counts,
        )
        self.listener.ended(outcome)
        return outcome
