"""The contract: every method on every kind of problem, to every status that it can reach.

The methods and problems are data (`methods.py`); nothing here knows any of them by name.
"""

import copy
import dataclasses
import gc
import io
import math

import pytest
import torch
from methods import CASES, KINDS, PROBLEMS, Case, Kind, analytic, problem, softmax
from torch import Tensor, nn

from hessrun import optimizers
from hessrun.optimizers import Newton, Optimizer, State, TorchOptimizer
from hessrun.optimizers.plain import tensors_in
from hessrun.problems.problem import Problem
from hessrun.run import Budget, Loop, Probe
from hessrun.run.minimize import _Collector
from hessrun.status import Status

STEPS = 10
every_method = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def every_problem(*quick: str):
    """All problems, those that are not named among the slow tests."""
    slow = pytest.mark.slow
    return [name if name in quick else pytest.param(name, marks=slow) for name in PROBLEMS]


class Ledger:
    """What a problem's training objective was asked for, in examples, and whether its answers are still intact."""

    def __init__(self, problem: Problem) -> None:
        self.gradients = self.values = self.products = self.columns = 0
        self._given: list[tuple[Tensor, Tensor]] = []
        self._inside_hessian = False
        ledger, objective = self, problem.train
        kind, counter = type(objective), objective.counter

        class Audited(kind):
            # Minibatches and uncounted twins are shallow copies: they are of this class too, told apart by counters.
            def _evaluate(self, x, gradient):
                found = super()._evaluate(x, gradient)
                if self.counter is counter:
                    ledger.gradients += gradient * self.n_batch
                    ledger.values += (not gradient) * self.n_batch
                    kept = [found.x, found.value, found.gradient_or_none]
                    ledger._given += [(t, t.clone()) for t in kept if t is not None]
                return found

            def _curvature(self, x, kind):
                made = super()._curvature(x, kind)
                inner = made._product

                def product(vectors):
                    columns = 1 if vectors.ndim == 1 else vectors.shape[1]
                    if self.counter is counter and ledger._inside_hessian:
                        ledger.columns += columns * self.n_batch
                    elif self.counter is counter:
                        ledger.products += columns * self.n_batch
                    return inner(vectors)

                made._product = product
                return made

            def _hessian(self, x):
                ledger._inside_hessian, before = True, ledger.columns
                try:
                    found, columns = super()._hessian(x)
                finally:
                    ledger._inside_hessian = False
                # By layers it propagates columns that pass through no product: the number is its own.
                if self.counter is counter and ledger.columns - before != columns:
                    ledger.columns = before + columns * self.n_batch
                return found, columns

        objective.__class__ = Audited

    def passes(self, problem: Problem) -> list[float]:
        n = problem.train.n_examples
        return [count / n for count in (self.values, self.gradients, self.products, self.columns)]

    def assert_intact(self) -> None:
        for now, then in self._given:
            assert torch.allclose(now, then, rtol=0, atol=0, equal_nan=True)


def passes(counts) -> list[float]:
    return [counts.values, counts.gradients, counts.products, counts.hessian_columns]


def run(method: Optimizer, problem: Problem, callback=None, *, log_every=1, probe=None, **budget):
    collector = _Collector(callback)
    probe = probe or Probe(kind="off")
    return Loop(problem, method, Budget(**budget), probe, collector, log_every=log_every).run(), collector


def through_a_file(method: Optimizer, state: State) -> State:
    file = io.BytesIO()
    torch.save(method.dump(state), file)
    file.seek(0)
    return method.load(torch.load(file, weights_only=True))


def live_tensors(state: State) -> list[Tensor]:
    wrapped = getattr(state, "wrapped", [])
    return [*tensors_in(state), *(t for one in wrapped for t in tensors_in(dict(one.state)))]


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def test_every_exported_method_is_held_to_the_contract() -> None:
    exported = {getattr(optimizers, name) for name in optimizers.__all__}
    methods = {kind for kind in exported if issubclass(kind, Optimizer) and kind is not Optimizer}
    assert methods == {type(case.method) for case in CASES.values()}


@every_method
@pytest.mark.parametrize("name", every_problem("rosenbrock", "walled", "saddle", "constant", "plateau", "softmax"))
def test_states_evaluations_and_counts_are_what_they_say(case: Case, name: str) -> None:
    walk_and_check(case, name, torch.float64)


@every_method
@pytest.mark.parametrize("name", every_problem("log_domain", "overflowing"))
def test_states_evaluations_and_counts_are_what_they_say_in_float32(case: Case, name: str) -> None:
    walk_and_check(case, name, torch.float32)


def walk_and_check(case: Case, name: str, dtype: torch.dtype) -> None:
    method, f = case.method, problem(name, case, dtype)
    start = f.x0.clone()
    ledger = Ledger(f)
    state = method.init(f)
    assert state.step == 0
    level = 64 * torch.finfo(dtype).eps
    names = set(method.columns(state))
    for step in range(1, STEPS + 1):
        before = state.evaluation
        state = method.step(f, state)
        assert state.step == step
        assert state.x.shape == start.shape
        assert state.x.dtype == dtype
        assert set(method.columns(state)) == names
        assert all(math.isfinite(value) for value in method.columns(state).values())
        for tensor in live_tensors(state):
            assert tensor.grad_fn is None
            assert tensor.grad is None if tensor.is_leaf else True
            assert isinstance(tensor, nn.Parameter) or not tensor.requires_grad
        assert method.state_bytes(state) > 0
        if method.is_stochastic:
            assert state.evaluation is None
        else:
            again = f.train.uncounted().evaluate(state.x)
            assert same(state.here.x, state.x)
            assert same(state.here.value, again.value)
            assert same(state.here.gradient, again.gradient)
        if case.is_safeguarded:
            assert state.x.isfinite().all()
            assert state.evaluation is None or state.evaluation.is_finite()
        if case.descends:
            assert state.here.value <= before.value + level * before.value.abs()
        if state.failure is not None:
            assert state.failure.is_method_failure or not case.is_safeguarded
            break
    assert torch.equal(f.x0, start)
    assert passes(f.train.counts) == ledger.passes(f)
    if not isinstance(method, TorchOptimizer):  # whose x is one buffer that it writes to
        ledger.assert_intact()


@every_method
@pytest.mark.parametrize("name", every_problem("overflowing", "saddle"))
def test_resuming_after_every_step_is_the_uninterrupted_run(case: Case, name: str) -> None:
    method, f = case.method, problem(name, case)
    whole, broken = method.init(f), method.init(f)
    for step in range(STEPS // 2):
        broken = through_a_file(method, broken) if step == 3 else method.load(copy.deepcopy(method.dump(broken)))
        whole, broken = method.step(f, whole), method.step(f, broken)
        assert same(whole.x, broken.x)
        assert whole.failure is broken.failure
        assert method.columns(whole) == method.columns(broken)
        if whole.failure is not None:
            break


@every_method
@pytest.mark.parametrize("steps", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_many_steps_are_as_many_times_one_step_through_a_checkpoint(case: Case, steps: int) -> None:
    """On the problem with minibatches, so that the batches go on where they stood."""
    method, f = case.method, softmax()
    whole, broken = method.init(f), method.init(f)
    for _ in range(steps):
        if whole.failure is not None:
            break
        whole = method.step(f, whole)
    while broken.step < whole.step:
        broken = method.step(f, method.load(copy.deepcopy(method.dump(broken))))
    assert torch.equal(whole.x, broken.x)
    assert (whole.failure, method.columns(whole)) == (broken.failure, method.columns(broken))


BUDGET = {"iterations": 800}
BOWL = KINDS["bowl"]
# f rises along every direction from its kink, where autograd's gradient points downhill nonetheless.
KINK = Kind(lambda x: torch.maximum(x, -2 * x).sum(-1), (0.0, 0.0))


@every_method
class TestStatuses:
    def test_converged(self, case: Case) -> None:
        ended, seen = run(case.method, analytic(BOWL, case), **BUDGET, gradient_tolerance=1e-3)
        assert ended.status is Status.CONVERGED
        assert seen.rows[-1]["gradient_max"] <= 1e-3 * seen.rows[0]["gradient_max"]
        assert torch.allclose(ended.best.x, torch.full_like(ended.x, 0.3), atol=2e-3)
        assert ended.steps == seen.rows[-1]["step"] > 0

    def test_target_reached(self, case: Case) -> None:
        ended, seen = run(case.method, problem("softmax", case), **BUDGET, target_loss=1.0, check_every=1)
        assert ended.status is Status.TARGET_REACHED
        losses = [row["train_loss"] for row in seen.rows]
        assert losses[-1] <= 1.0 < min(losses[:-1])

    def test_iterations_spent_exactly_and_the_best_point_is_handed_back(self, case: Case) -> None:
        f = problem("rosenbrock", case)
        ended, seen = run(case.method, f, iterations=4)
        assert (ended.status, ended.steps) == (Status.ITERATIONS_SPENT, 4)
        assert [row["step"] for row in seen.rows] == list(range(ended.steps + 1))
        assert float(ended.best.value) == min(row["train_loss"] for row in seen.rows) < seen.rows[0]["train_loss"]
        assert torch.equal(ended.best.value, f.train.evaluate(ended.best.x).value)

    def test_passes_and_seconds_are_spent(self, case: Case) -> None:
        f = problem("softmax", case)
        ended, seen = run(case.method, f, passes=5.0)
        assert ended.status is Status.EVALUATIONS_SPENT
        assert sum(passes(ended.counts)) >= 5.0
        # It stops after the step that spends them: before that one there was something left.
        spent = [sum(row[key] for key in ("values", "gradients", "products", "hessian_columns")) for row in seen.rows]
        assert all(total < 5.0 for total in spent[:-1])
        assert run(case.method, f, seconds=1e-9)[0].status is Status.SECONDS_SPENT

    def test_stopped_by_its_caller_and_interrupted(self, case: Case) -> None:
        f = problem("softmax", case)
        ended, _ = run(case.method, f, lambda row: row["step"] == 3, **BUDGET)
        assert (ended.status, ended.steps) == (Status.STOPPED, 3)
        collector = _Collector(lambda row: setattr(collector, "interrupted", row["step"] == 2))
        ended = Loop(f, case.method, Budget(iterations=9), Probe(kind="off"), collector).run()
        assert (ended.status, ended.steps) == (Status.INTERRUPTED, 2)

    def test_a_function_that_rises_everywhere_is_a_failure_of_the_method_at_its_start(self, case: Case) -> None:
        f = analytic(KINK, case)
        ended, _ = run(case.method, f, iterations=9)
        if case.descends:
            assert ended.status.is_method_failure
            assert torch.equal(ended.x, f.x0)
            assert torch.equal(ended.best.x, f.x0)
            assert ended.steps <= 2
        assert float(ended.best.value) == 0.0

    def test_diverged_where_the_start_is_not_finite(self, case: Case) -> None:
        start = Kind(KINDS["log_domain"].outer, (-1.0, 2.0))
        ended, seen = run(case.method, analytic(start, case), **BUDGET)
        assert ended.status is Status.DIVERGED
        assert ended.steps == 0
        assert len(seen.rows) == 1

    @pytest.mark.parametrize(
        "name",
        [
            "log_domain",
            pytest.param("walled", marks=pytest.mark.slow),
            pytest.param("overflowing", marks=pytest.mark.slow),
        ],
    )
    def test_beyond_the_domain_a_run_ends_with_its_best_finite_point(self, case: Case, name: str) -> None:
        f = problem(name, case)
        ended, seen = run(case.method, f, iterations=40, gradient_tolerance=1e-6)
        assert ended.best.is_finite()
        assert float(ended.best.value) <= seen.rows[0]["train_loss"]
        if case.is_safeguarded:
            assert ended.status is not Status.DIVERGED
            assert ended.x.isfinite().all()
            assert all(math.isfinite(row["train_loss"]) for row in seen.rows)
        elif ended.status is Status.DIVERGED and isinstance(case.method, Newton):  # it stays where f was finite
            assert ended.x.isfinite().all()
            assert all(math.isfinite(row["train_loss"]) for row in seen.rows)
        elif ended.status is Status.DIVERGED:
            assert not math.isfinite(seen.rows[-1]["train_loss"] + seen.rows[-1]["gradient_max"])


def test_first_order_methods_diverge_with_a_status_and_their_best_point() -> None:
    for name in ("gd", "torch_lbfgs", "newton_plain"):
        case = CASES[name]
        found = [run(case.method, problem(domain, case), iterations=90)[0] for domain in ("log_domain", "overflowing")]
        assert any(ended.status is Status.DIVERGED for ended in found), name
        assert all(ended.best.is_finite() for ended in found)


def comparable(rows: list[dict], every: int) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows if row["step"] % every == 0]


@every_method
@pytest.mark.parametrize("name", ["rosenbrock", pytest.param("softmax", marks=pytest.mark.slow)])
def test_the_same_run_again_and_however_it_is_watched_is_bitwise_the_same(case: Case, name: str) -> None:
    plain, rows = run(case.method, problem(name, case), iterations=9)
    f = problem(name, case)
    ledger = Ledger(f)
    every = Probe(kind="exact", schedule="every", every=4, quasi_newton=True)
    watched, often = run(case.method, f, iterations=9, probe=every)
    seldom, few = run(case.method, problem(name, case), iterations=9, log_every=5)
    for other in (watched, seldom):
        assert torch.equal(plain.x, other.x)
        assert (plain.status, plain.steps, plain.counts) == (other.status, other.steps, other.counts)
    kept = {key for row in rows.rows for key in row}
    often_rows = [{k: v for k, v in row.items() if k in kept} for row in often.rows]
    assert repr(comparable(rows.rows, 1)) == repr(comparable(often_rows, 1))
    assert repr(comparable(rows.rows, 5)) == repr(comparable(few.rows, 5))
    assert passes(watched.counts) == ledger.passes(f)
    assert len(often.spectra) >= 2
    for row in rows.rows:
        values = {key: value for key, value in row.items() if key != "step_size" or row["step"] > 0}
        assert all(math.isfinite(value) for value in values.values())


def test_the_status_does_not_depend_on_how_often_rows_are_made() -> None:
    """A method without an evaluation at hand is looked at every 10 steps, and once more where the run ends."""
    case, far = CASES["torch_lbfgs"], KINDS["log_domain"]
    found = {run(case.method, analytic(far, case), iterations=9, log_every=every)[0].status for every in (1, 5)}
    assert found == {Status.DIVERGED}


def test_a_probe_where_the_hessian_overflows_leaves_the_run_its_status() -> None:
    case = CASES["gd"]
    ended, _ = run(case.method, problem("overflowing", case), iterations=9, probe=Probe(kind="exact"))
    assert ended.status is Status.DIVERGED


@every_method
@pytest.mark.parametrize("start", [(1.0, 0.0), (0.0, 0.0)])
def test_at_a_saddle(case: Case, start: tuple[float, float]) -> None:
    """f = x^2 - y^2 + y^4/4 has its minima -1 at (0, +-sqrt 2); from (1, 0) no gradient ever points at them."""
    f = analytic(Kind(KINDS["saddle"].outer, start), case)
    seen: list[bool | None] = []
    spied = type(case.method).insight

    class Spy(type(case.method)):
        def insight(self, state):
            found = spied(self, state)
            seen.append(found.negative_curvature)
            return found

    fields = {f.name: getattr(case.method, f.name) for f in dataclasses.fields(case.method)}
    ended, _ = run(Spy(**fields), f, iterations=60, gradient_target=1e-8)
    if ended.status is Status.CONVERGED:
        assert seen[-1] is False
    if case.leaves_saddles:
        assert ended.status is Status.CONVERGED
        assert float(ended.best.value) == pytest.approx(-1.0, abs=1e-12)
        assert abs(float(ended.x[1])) == pytest.approx(math.sqrt(2), abs=1e-6)


@pytest.fixture(scope="module")
def _only_new_objects():
    """What stands when the tests begin is left out of the counts, which would take long with it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def kept_alive() -> tuple[int, int]:
    """Tensors that Python can reach, and the bytes of their storages."""
    gc.collect()
    found = [o for o in gc.get_objects() if type(o) in (Tensor, nn.Parameter)]
    return len(found), sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}.values())


@every_method
@pytest.mark.usefixtures("_only_new_objects")
@pytest.mark.parametrize("steps", [24, pytest.param(1000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(case: Case, steps: int) -> None:
    """x is put back every few steps, so that no method comes to its end: `refresh` leaves nothing behind either."""
    method, f = case.method, problem("softmax", case)
    state, start = method.init(f), f.x0.clone()
    found = []
    for step in range(1, steps + 1):
        state = method.step(f, state)
        if step % 6 == 0 or state.failure is not None:
            state.failure = None
            state.x = start + 0.1 * math.sin(step)
            state = method.refresh(f, state)
        if step in (steps // 2, steps):
            found.append((method.state_bytes(state), *kept_alive()))
    (bytes_then, tensors_then, storage_then), (bytes_now, tensors_now, storage_now) = found
    # torch's L-BFGS holds one number more or less, by where in its search it stands.
    assert abs(bytes_now - bytes_then) <= 8
    assert abs(tensors_now - tensors_then) <= 1
    assert abs(storage_now - storage_then) <= 8
