"""Optimizers of torch's and third parties' on the flat vector: bitwise those of a plain loop, resumed bitwise."""

import copy
import functools
import io
import subprocess
import sys

import pytest
import torch
from torch import nn

from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk
from hessrun.optimizers.parts import Part
from hessrun.optimizers.schedules import Cosine
from hessrun.optimizers.torch_optimizer import TorchOptimizer
from hessrun.problems import supervised
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.datasets import Wine
from hessrun.problems.losses import CrossEntropy
from hessrun.problems.models import mlp
from hessrun.problems.problem import ProblemFacts
from hessrun.status import Status

MUON, ADAMW = {"lr": 0.02, "momentum": 0.9}, {"lr": 3e-3, "betas": (0.8, 0.99)}
PARTS = [Part(ndim=2, algorithm=torch.optim.Muon, settings=MUON), Part(algorithm=torch.optim.AdamW, settings=ADAMW)]


def wine(dtype=torch.float64, seed=0):
    return supervised(Wine(), functools.partial(mlp, hidden=[6]), CrossEntropy(), seed=seed, dtype=dtype)


def quadratic(scale=1.0):
    """One vector without a network: f = scale/2 |x - 1|^2 in two dimensions."""
    x0 = torch.tensor([3.0, -2.0], dtype=torch.float64)

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(x0.clone())

        def forward(self, inputs):
            return inputs * self.x

    ones = torch.ones(1, 2, dtype=torch.float64)
    risk = EmpiricalRisk(Mean(), lambda out, target: scale / 2 * ((out - target) ** 2).sum(), ones, ones)
    return AnalyticProblem(risk, risk.x0, ProblemFacts("f", "analytic", 2, 1))


def walk(method, problem, steps, state=None):
    state = method.init(problem) if state is None else state
    for _ in range(steps):
        state = method.step(problem, state)
    return state


def plain_loop(problem, make, steps, batch_size=None, factor=None):
    """torch's own loop: a module, a loss, backward, and a step of every optimizer with its scheduler."""
    module = copy.deepcopy(problem.train.module)
    module.load_state_dict(problem.state_dict(problem.x0))
    optimizers = make(dict(module.named_parameters()))
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, factor) for o in optimizers] if factor else []
    for step in range(steps):
        data = problem.train if batch_size is None else problem.minibatch(step, batch_size)
        for optimizer in optimizers:
            optimizer.zero_grad()
        nn.functional.cross_entropy(module(data.inputs), data.targets).backward()
        for optimizer in [*optimizers, *schedulers]:
            optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def muon_and_adamw(named):
    matrices = [p for p in named.values() if p.ndim == 2]
    rest = [p for p in named.values() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, **MUON, weight_decay=0.0),
        torch.optim.AdamW(rest, **ADAMW, weight_decay=0.0),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch_size", [None, 32])
def test_muon_on_matrices_and_adamw_on_the_rest_is_the_loop_over_both(dtype, batch_size):
    problem, schedule = wine(dtype), Cosine(steps=30, warmup=3)
    method = TorchOptimizer(parts=PARTS, batch_size=batch_size, schedule=schedule)
    state = walk(method, problem, 25)
    assert torch.equal(state.x, plain_loop(problem, muon_and_adamw, 25, batch_size, schedule.factor))
    assert problem.train.counts.gradients == pytest.approx(25 if batch_size is None else 25 * 32 / 124, rel=0.1)
    assert problem.train.counts.values == 0
    # The schedule is on each part's own rate; the row shows that of the first.
    assert [o.param_groups[0]["lr"] for o in state.wrapped] == [r * schedule.factor(24) for r in (0.02, 3e-3)]
    assert state.step_size == 0.02 * schedule.factor(24)


def test_parts_with_settings_of_their_own_are_torchs_parameter_groups():
    def groups(named):
        biases = [p for name, p in named.items() if name.endswith("bias")]
        weights = [p for name, p in named.items() if not name.endswith("bias")]
        return [torch.optim.SGD([{"params": biases, "lr": 0.3}, {"params": weights}], lr=0.05, momentum=0.9)]

    parts = [Part("*.bias", settings={"lr": 0.3}), Part()]
    method = TorchOptimizer(torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}, parts=parts)
    problem = wine()
    assert torch.equal(walk(method, problem, 20).x, plain_loop(problem, groups, 20))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "NAdam", "Adagrad", "Rprop", "Adafactor"])
def test_one_optimizer_is_the_plain_loop(name):
    algorithm, problem = getattr(torch.optim, name), wine()
    decay = {"weight_decay": 0.0} if name != "Rprop" else {}
    expected = plain_loop(problem, lambda named: [algorithm(named.values(), lr=0.01, **decay)], 15, batch_size=50)
    assert torch.equal(walk(TorchOptimizer(algorithm, {"lr": 0.01}, batch_size=50), problem, 15).x, expected)


def test_lbfgs_pays_for_what_it_asks_for():
    problem = wine()
    settings = {"max_iter": 5, "line_search_fn": "strong_wolfe"}
    state = walk(TorchOptimizer(torch.optim.LBFGS, settings), problem, 4)
    (entry,) = state.wrapped[0].state.values()
    assert problem.train.counts.gradients == entry["func_evals"] > 8

    def lbfgs(named):
        return [torch.optim.LBFGS(named.values(), **settings)]

    module = copy.deepcopy(problem.train.module)
    module.load_state_dict(problem.state_dict(problem.x0))
    (optimizer,) = lbfgs(dict(module.named_parameters()))

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(problem.train.inputs), problem.train.targets)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    assert torch.equal(state.x, torch.cat([p.detach().reshape(-1) for p in module.parameters()]))


class TestParts:
    def names(self, *parts):
        state = TorchOptimizer(torch.optim.SGD, parts=parts).init(wine())
        found = {p: name for name, p in state.parameters.items()}
        return [[found[p] for group in o.param_groups for p in group["params"]] for o in state.wrapped]

    def test_the_first_that_fits_has_it(self):
        assert self.names(Part("3.*"), Part("*", ndim=2), Part()) == [["3.weight", "3.bias"], ["1.weight"], ["1.bias"]]
        assert self.names(Part("1.*"), Part("3.*")) == [["1.weight", "1.bias"], ["3.weight", "3.bias"]]

    def test_the_rest_may_be_nothing_and_matrices_may_be_lacking(self):
        assert self.names(Part("*"), Part(ndim=4), Part()) == [["1.weight", "1.bias", "3.weight", "3.bias"]]

    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ([Part("*.wieght"), Part()], "no parameter matches '*.wieght'; there are 1.weight [6, 13], 1.bias [6]"),
            ([Part("*.weight", ndim=4), Part()], "no parameter left matches '*.weight' with ndim=4"),
            ([Part("*.weight")], "none of them takes the parameter '1.bias' [6]; end with a part of the pattern '*'"),
            ([Part("*.WEIGHT"), Part()], "no parameter matches '*.WEIGHT'"),
            ([Part(), Part("*.bias")], "an earlier part takes all that '*.bias' could: put it first"),
            ([Part(algorithm=torch.optim.Muon), Part(ndim=2)], "Muon: Muon only supports 2D parameters"),
            ([Part(settings={"lr": -1.0})], "SGD: Invalid learning rate: -1.0"),
            ([Part(settings={"momentum": "high"})], "SGD: "),
        ],
    )
    def test_what_does_not_fit_the_problem_is_refused_in_a_line(self, parts, said):
        with pytest.raises(OptionError) as caught:
            TorchOptimizer(torch.optim.SGD, parts=parts).init(wine())
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: Part(""), "pattern='': must be a glob"),
            (lambda: Part(ndim=-1), "ndim=-1: must be a whole number, 0 or above"),
            (lambda: TorchOptimizer(), "The part '*' needs an algorithm"),
            (lambda: TorchOptimizer("Adam"), "it has 'Adam'"),
            (lambda: TorchOptimizer(parts=[PARTS[0], Part()]), "The part '*' needs an algorithm"),
            (lambda: TorchOptimizer(parts=[{"pattern": "*"}]), "each must be a hessrun.optimizers.Part; got dict"),
            (lambda: TorchOptimizer(torch.optim.SGD, parts=PARTS), "nothing is left for the common one"),
            (lambda: TorchOptimizer(settings={"lr": 1.0}, parts=PARTS), "nothing is left for the common one"),
            (lambda: TorchOptimizer(torch.optim.SGD, {"lrr": 1.0}), "SGD has no option 'lrr'; it takes lr, momentum"),
            (lambda: TorchOptimizer(torch.optim.SGD, {"lrr": 1.0}), "Did you mean 'lr'?"),
            (lambda: TorchOptimizer(torch.optim.SGD, parts=[Part(settings={"beta": 1})]), "SGD has no option 'beta'"),
            (lambda: TorchOptimizer(torch.optim.SGD, batch_size=0), "batch_size=0: must be a whole number"),
        ],
    )
    def test_what_is_wrong_by_itself_is_refused_at_once(self, make, said):
        with pytest.raises(OptionError) as caught:
            make()
        assert said in str(caught.value)

    def test_a_callable_that_makes_no_optimizer(self):
        with pytest.raises(OptionError, match=r"list must make a torch.optim.Optimizer; it made a list"):
            TorchOptimizer(list).init(wine())


class TestWeightDecay:
    def test_is_off_in_every_part_unless_set(self):
        problem = wine()
        state = TorchOptimizer(parts=PARTS).init(problem)
        assert [o.param_groups[0]["weight_decay"] for o in state.wrapped] == [0.0, 0.0]
        hidden = TorchOptimizer(lambda params, **rest: torch.optim.AdamW(params, **rest)).init(problem)
        assert hidden.wrapped[0].param_groups[0]["weight_decay"] == 0.0

    def test_one_that_is_set_minimises_another_function(self):
        assert TorchOptimizer(parts=PARTS).minimises == "the objective"
        for method in (
            TorchOptimizer(parts=[Part(ndim=2, algorithm=torch.optim.Muon, settings={"weight_decay": 0.1}), PARTS[1]]),
            TorchOptimizer(torch.optim.AdamW, {"weight_decay": 0.1}, parts=[Part("*.bias", settings={"lr": 1.0})]),
            TorchOptimizer(functools.partial(torch.optim.AdamW, weight_decay=0.1)),
        ):
            assert method.minimises == "another function"
        state = TorchOptimizer(functools.partial(torch.optim.AdamW, weight_decay=0.1)).init(wine())
        assert state.wrapped[0].param_groups[0]["weight_decay"] == 0.1


class Own(torch.optim.Optimizer):
    def __init__(self, params, lr=0.25):
        super().__init__(params, {"lr": lr})

    @property
    def mine(self):
        return [(p, group["lr"]) for group in self.param_groups for p in group["params"]]


class Sharp(Own):
    """Sharpness-aware (Foret et al., 2021): the gradient at x + 0.5 g is applied at x; the first g is read."""

    @torch.no_grad()
    def step(self, closure):
        before = [p.clone() for p, _ in self.mine]
        for p, _ in self.mine:
            p.add_(p.grad, alpha=0.5)
        self.zero_grad()
        with torch.enable_grad():
            closure()
        for (p, lr), old in zip(self.mine, before, strict=True):
            p.copy_(old).sub_(p.grad, alpha=lr)


class SharpByNewMemory(Own):
    """The same, which puts other tensors under p.data."""

    def step(self, closure):
        before = [p.data for p, _ in self.mine]
        for p, _ in self.mine:
            p.data = p.data + 0.5 * p.grad
        closure()
        for (p, lr), old in zip(self.mine, before, strict=True):
            p.data = old - lr * p.grad


class SharpByHiddenWrites(Own):
    """The same, which writes where nothing can count it."""

    def step(self, closure):
        for p, _ in self.mine:
            p.data.add_(p.grad, alpha=0.5)
        closure()


class NoClosure(Own):
    def step(self):
        for p, lr in self.mine:
            p.data = p.data - lr * p.grad


class IgnoresIt(Own):
    @torch.no_grad()
    def step(self, closure=None):
        for p, lr in self.mine:
            p.sub_(p.grad, alpha=lr)


class ZeroesFirst(Own):
    @torch.no_grad()
    def step(self, closure=None):
        self.zero_grad(set_to_none=False)
        closure()
        for p, lr in self.mine:
            p.sub_(p.grad, alpha=lr)


class Backward(Own):
    def step(self, closure):
        closure().backward()


class Factorises(Own):
    @torch.no_grad()
    def step(self, closure):
        closure()
        for p, lr in self.mine:
            p.sub_(torch.linalg.solve(torch.outer(p.grad, p.grad) + torch.eye(2, dtype=p.dtype), p.grad), alpha=lr)
            if not torch.isfinite(p).all():
                raise FloatingPointError("no eigenvalues")


class Remembers(Own):
    """Keeps what checkpoints must not lose: an integer, a half-precision tensor, a tuple; and tunes its own rate."""

    @torch.no_grad()
    def step(self, closure):
        closure()
        for group in self.param_groups:
            group["lr"] *= 0.9
            for p in group["params"]:
                kept = self.state[p]
                kept["count"] = kept.get("count", torch.tensor(0)) + 1
                kept["low"] = (kept.get("low", torch.zeros_like(p)) + p.grad).to(torch.bfloat16)
                kept["pair"] = (1, 2.0)
                assert kept["count"].dtype == torch.int64
                p.sub_(kept["low"].to(p.dtype), alpha=group["lr"])


class Deque(Remembers):
    def step(self, closure):
        super().step(closure)
        self.state[self.mine[0][0]]["last"] = {1, 2}


class TestCustoms:
    """f = |x - 1|^2 / 2: a step from x of rate 1/4 leads to 1 + 3/4 (x - 1), a sharp one to 1 + 5/8 (x - 1)."""

    @pytest.mark.parametrize(
        ("kind", "ratio", "gradients"),
        [
            (IgnoresIt, 0.75, 1),
            (NoClosure, 0.75, 1),
            (ZeroesFirst, 0.75, 2),
            (Sharp, 0.625, 2),
            (SharpByNewMemory, 0.625, 2),
        ],
    )
    def test_every_way_of_asking_is_served_and_counted(self, kind, ratio, gradients):
        problem = quadratic()
        state = walk(TorchOptimizer(kind), problem, 3)
        assert torch.allclose(state.x, 1 + ratio**3 * (problem.x0 - 1), rtol=1e-14)
        assert problem.train.counts.gradients == 3 * gradients
        assert problem.x0.tolist() == [3.0, -2.0]

    def test_parameters_live_in_x_and_no_gradient_outlives_its_step(self):
        for kind in (IgnoresIt, SharpByNewMemory):
            problem = quadratic()
            state = walk(TorchOptimizer(kind), problem, 2)
            (parameter,) = state.parameters.values()
            assert parameter.data_ptr() == state.x.data_ptr() != problem.x0.data_ptr()
            assert parameter.grad is None
            assert state.evaluation is None

    def test_a_vector_that_was_put_in_place_of_x_is_gone_on_from(self):
        for kind, ratio in ((IgnoresIt, 0.75), (Sharp, 0.625)):
            problem, method = quadratic(), TorchOptimizer(kind)
            state = walk(method, problem, 2)
            state.x = put = torch.tensor([5.0, 9.0], dtype=torch.float64)
            state = walk(method, problem, 1, method.refresh(problem, state))
            assert torch.allclose(state.x, 1 + ratio * (put - 1))
            assert put.tolist() == [5.0, 9.0]

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            (Backward, "It differentiates the gradient or calls backward itself; an optimizer is given value and"),
            (SharpByHiddenWrites, "SharpByHiddenWrites writes to parameter.data before it calls its closure"),
            (torch.optim.SparseAdam, "SparseAdam does not run on this problem: SparseAdam does not support dense"),
        ],
    )
    def test_what_cannot_run_is_refused_in_a_line(self, kind, said):
        with pytest.raises(OptionError) as caught:
            walk(TorchOptimizer(kind), quadratic(), 1)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("kind", [Sharp, ZeroesFirst, torch.optim.LBFGS])
    def test_one_that_evaluates_twice_is_no_part_among_others(self, kind):
        parts = [Part("*.bias", algorithm=torch.optim.SGD), Part(algorithm=kind)]
        with pytest.raises(OptionError, match=f"{kind.__name__} evaluates f again within its step"):
            walk(TorchOptimizer(parts=parts), wine(), 3)
        walk(TorchOptimizer(parts=[Part(algorithm=kind)]), wine(), 3)

    def test_an_error_where_f_is_not_finite_is_an_outcome(self):
        method = TorchOptimizer(Factorises, {"lr": 1e300})
        state = walk(method, quadratic(scale=1e300), 1)
        assert state.failure is Status.DIVERGED
        assert state.step == 1

    def test_a_constant_schedule_leaves_the_rate_to_the_algorithm(self):
        assert walk(TorchOptimizer(Remembers, {"lr": 1e-3}), quadratic(), 2).step_size == pytest.approx(0.81e-3)


RESUMED = {
    "parts": TorchOptimizer(parts=PARTS, batch_size=32, schedule=Cosine(steps=30)),
    "own settings": TorchOptimizer(
        torch.optim.Adam, {"amsgrad": True}, parts=[Part("1.*", settings={"lr": 1}), Part()]
    ),
    "sgd": TorchOptimizer(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, batch_size=16),
    "lbfgs": TorchOptimizer(torch.optim.LBFGS, {"max_iter": 2, "line_search_fn": "strong_wolfe"}),
    "own state": TorchOptimizer(Remembers, {"lr": 1e-3}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", RESUMED.values(), ids=RESUMED)
def test_resume_is_bitwise_without_pickle(method, dtype):
    problem = wine(dtype)
    state = walk(method, problem, 7)
    file = io.BytesIO()
    snapshot = method.dump(state)
    torch.save(snapshot, file)
    on = walk(method, problem, 6, state)
    assert torch.equal(on.x, walk(method, problem, 13).x)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    # The snapshot was not written to while the run went on, nor is what was loaded by a run that starts from it.
    for data in (saved, snapshot, saved):
        again = walk(method, problem, 6, method.load(data))
        assert torch.equal(again.x, on.x)
        assert (again.step, again.step_size) == (on.step, on.step_size)
    assert method.state_bytes(again) == method.state_bytes(on)


def test_a_state_that_no_checkpoint_can_hold_is_refused():
    method = TorchOptimizer(Deque)
    state = walk(method, quadratic(), 2)
    with pytest.raises(OptionError, match="Deque keeps a set in its state, which a checkpoint cannot hold"):
        method.dump(state)


def test_state_bytes_are_the_vector_and_what_the_optimizers_keep():
    problem = wine()
    n = problem.train.dim
    state = walk(TorchOptimizer(torch.optim.SGD, {"momentum": 0.9}), problem, 2)
    assert TorchOptimizer(torch.optim.SGD).state_bytes(state) == 2 * 8 * n
    state = walk(TorchOptimizer(torch.optim.SGD), problem, 2)
    assert TorchOptimizer(torch.optim.SGD).state_bytes(state) == 8 * n


@pytest.fixture(scope="module")
def third_party():
    return pytest.importorskip("pytorch_optimizer")


@pytest.mark.parametrize("name", ["SOAP", "Lion", "Shampoo", "Prodigy", "ScheduleFreeAdamW", "ScheduleFreeSGD"])
def test_third_party_optimizers_are_the_plain_loop_and_resume(third_party, name):
    algorithm, problem = getattr(third_party, name), wine(torch.float32)
    method = TorchOptimizer(algorithm, batch_size=40)
    state = walk(method, problem, 12)

    def make(named):
        return [algorithm(named.values(), weight_decay=0.0)]

    assert torch.equal(state.x, plain_loop(problem, make, 12, batch_size=40))
    file = io.BytesIO()
    torch.save(method.dump(walk(method, problem, 7)), file)
    file.seek(0)
    assert torch.equal(walk(method, problem, 5, method.load(torch.load(file, weights_only=True))).x, state.x)


@pytest.mark.parametrize("name", ["SophiaH", "AdaHessian"])
def test_third_party_optimizers_that_differentiate_again_are_refused(third_party, name):
    with pytest.raises(OptionError, match=f"{name} does not run on this problem.*and no graph"):
        walk(TorchOptimizer(getattr(third_party, name)), wine(), 1)


def test_third_party_sharpness_aware_minimisation(third_party):
    problem, rho = quadratic(), 0.05
    method = TorchOptimizer(third_party.SAM, {"base_optimizer": torch.optim.SGD, "lr": 0.25, "rho": rho})
    state = walk(method, problem, 2)
    x = problem.x0
    for _ in range(2):
        gradient = x - 1
        perturbed = x + rho * gradient / gradient.norm()
        x = x - 0.25 * (perturbed - 1)
    assert torch.allclose(state.x, x, rtol=1e-6)  # its norm is in float32
    assert problem.train.counts.gradients == 4


def test_a_setting_that_a_class_swallows_is_refused(third_party):
    with pytest.raises(OptionError, match=r"SOAP has no option 'lrr'.*Did you mean 'lr'"):
        TorchOptimizer(third_party.SOAP, {"lrr": 1.0}).init(wine())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_parts_on_cuda_are_the_loop_over_both():
    problem = supervised(Wine(), functools.partial(mlp, hidden=[6]), CrossEntropy(), device="cuda")
    state = walk(TorchOptimizer(parts=PARTS), problem, 10)
    assert torch.allclose(state.x, plain_loop(problem, muon_and_adamw, 10), rtol=1e-12, atol=1e-14)


def test_what_torch_imports_for_its_first_optimizer_is_on_no_runs_clock() -> None:
    code = "import sys, torch; from hessrun.optimizers import TorchOptimizer; TorchOptimizer(torch.optim.Adam); "
    code += "print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
