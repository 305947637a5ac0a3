"""Methods in a plain training loop: the same path as on the empirical risk, resumed bitwise, and clear about misuse."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessrun.errors import ObjectiveError, OptionError
from hessrun.objective import Counter, EmpiricalRisk
from hessrun.objective.closure import ClosureObjective, LiveParameters
from hessrun.optimizers import (
    BFGS,
    DFP,
    LBFGS,
    SGD,
    SR1,
    SSBFGS,
    Broyden,
    Cosine,
    GaussNewton,
    LBFGSMultibatch,
    Newton,
    NewtonCG,
    NewtonCGLineSearch,
    NewtonTrust,
    TorchOptimizer,
)
from hessrun.optimizers.as_torch import _placed, as_torch_optimizer
from hessrun.problems.analytic import AnalyticProblem
from hessrun.problems.problem import ProblemFacts
from hessrun.status import Status


def mlp(dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 2)).to(dtype)


def data(dtype=torch.float64, n=40):
    generator = torch.Generator().manual_seed(5)
    return (torch.randn(n, size, dtype=dtype, generator=generator) for size in (3, 2))


def with_backward(model, optimizer, inputs, targets):
    def closure():
        optimizer.zero_grad()
        loss = functional.mse_loss(model(inputs), targets)
        loss.backward()
        return loss

    return closure


def with_graph(model, optimizer, inputs, targets):
    return lambda: functional.mse_loss(model(inputs), targets)


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def train(model, optimizer, steps, closure=with_graph, dtype=torch.float64):
    call = closure(model, optimizer, *data(dtype))
    path = []
    for _ in range(steps):
        optimizer.step(call)
        path.append(flat(model))
    return torch.stack(path)


def minimised(function, *starts, dtype=torch.float64):
    """A loss of some bare parameters, made from the starting values given."""
    parameters = [nn.Parameter(torch.tensor(start, dtype=dtype)) for start in starts]
    return parameters, lambda: function(*parameters)


METHODS = [BFGS(), BFGS(block=2), LBFGS(), LBFGS(memory=3), Newton(), SGD(lr=0.05, momentum=0.9)]
FAMILY = [DFP(), Broyden(), SSBFGS(), SR1(), LBFGSMultibatch(), NewtonTrust(), NewtonCG(), NewtonCGLineSearch()]
RESUMED = [*METHODS, *FAMILY, SGD(lr=0.05, momentum=0.9, batch_size=1, schedule=Cosine(steps=12))]


@pytest.mark.parametrize("closure", [with_backward, with_graph])
@pytest.mark.parametrize("method", METHODS)
def test_a_training_loop_takes_the_path_of_the_method_on_the_empirical_risk(method, closure):
    if isinstance(method, Newton) and closure is with_backward:
        pytest.skip("Newton's method needs the graph")
    model = mlp()
    risk = EmpiricalRisk(model, functional.mse_loss, *data())
    problem = AnalyticProblem(risk, risk.x0, ProblemFacts("mlp", "analytic", risk.dim, risk.n_examples))
    state, expected = method.init(problem), []
    for _ in range(12):
        state = method.step(problem, state)
        expected.append(state.x)
    optimizer = as_torch_optimizer(model.parameters(), method)
    assert torch.allclose(train(model, optimizer, 12, closure), torch.stack(expected), rtol=1e-8, atol=1e-10)
    assert optimizer.status is Status.RUNNING


@pytest.mark.parametrize("method", METHODS)
def test_a_step_leaves_the_accepted_point_and_its_gradient_and_returns_the_loss_before_it(method):
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), method)
    inputs, targets = data()
    for _ in range(6):
        before = functional.mse_loss(model(inputs), targets).detach()
        returned = optimizer.step(with_graph(model, optimizer, inputs, targets))
        assert torch.equal(returned, before)
        assert not returned.requires_grad
        here = functional.mse_loss(model(inputs), targets)
        assert here < before or isinstance(method, SGD)
        for parameter, expected in zip(
            model.parameters(), torch.autograd.grad(here, list(model.parameters())), strict=True
        ):
            assert torch.allclose(parameter.grad, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", [BFGS(), LBFGS(), Newton()])
def test_float32_trains_too(method):
    model = mlp(torch.float32)
    train(model, as_torch_optimizer(model.parameters(), method), 40, dtype=torch.float32)
    inputs, targets = data(torch.float32)
    assert functional.mse_loss(model(inputs), targets) < 0.6 * functional.mse_loss(mlp(torch.float32)(inputs), targets)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_minibatches_that_change_at_every_step_give_the_path_of_torch_sgd(options, batch_size):
    paths = []
    for make in (
        lambda p: torch.optim.SGD(p, lr=0.05, **options),
        lambda p: as_torch_optimizer(p, SGD(lr=0.05, batch_size=batch_size, **options)),
    ):
        model = mlp()
        optimizer = make(model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
        inputs, targets = data()
        path = []
        for k in range(18):
            rows = slice(10 * (k % 4), 10 * (k % 4) + 10)
            optimizer.step(with_backward(model, optimizer, inputs[rows], targets[rows]))
            scheduler.step()
            path.append(flat(model))
        paths.append(torch.stack(path))
    assert torch.allclose(*paths, rtol=1e-12, atol=1e-15)


def test_a_method_without_minibatches_of_its_own_steps_from_the_new_batch():
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), LBFGS())
    inputs, targets = data()
    for k in range(8):
        rows = slice(10 * (k % 4), 10 * (k % 4) + 10)
        before = functional.mse_loss(model(inputs[rows]), targets[rows]).detach()
        assert torch.equal(optimizer.step(with_backward(model, optimizer, inputs[rows], targets[rows])), before)
        assert functional.mse_loss(model(inputs[rows]), targets[rows]) < before
    assert optimizer._state.memory.count > 1


def test_counts_are_the_closures_calls():
    model, calls = mlp(), 0
    optimizer = as_torch_optimizer(model.parameters(), BFGS())
    inner = with_backward(model, optimizer, *data())

    def closure():
        nonlocal calls
        calls += 1
        return inner()

    for _ in range(9):
        optimizer.step(closure)
    assert optimizer.counts.gradients == calls
    assert optimizer.counts.values == optimizer.counts.products == 0


@pytest.mark.parametrize("method", RESUMED)
@pytest.mark.parametrize("cut", [0, 5])
def test_a_saved_state_goes_on_bitwise_in_a_fresh_model_and_optimizer(method, cut):
    whole_model = mlp()
    whole = train(whole_model, as_torch_optimizer(whole_model.parameters(), method), 10)
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), method)
    if cut:
        train(model, optimizer, cut)
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    file = io.BytesIO()
    torch.save(saved, file)
    train(model, optimizer, 3)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    # The state as read, then the one that was kept in memory while its optimizer went on.
    for state in (read["optimizer"], saved["optimizer"], saved["optimizer"]):
        fresh = mlp()
        fresh.load_state_dict(read["model"])
        resumed = as_torch_optimizer(fresh.parameters(), method)
        resumed.load_state_dict(state)
        assert torch.equal(train(fresh, resumed, 10 - cut), whole[cut:])


@pytest.mark.parametrize("method", RESUMED)
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_and_pickles_go_on_bitwise(method, twin):
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), method)
    train(model, optimizer, 4)
    other_model, other = twin((model, optimizer))
    assert torch.equal(train(other_model, other, 4), train(model, optimizer, 4))


def test_a_state_is_placed_where_the_method_keeps_its_tensors():
    like = {"x": torch.zeros(2, device="meta"), "memory": {"sy": torch.zeros(1)}, "velocity": None}
    read = {"x": torch.ones(2), "memory": {"sy": torch.ones(1), "order": [0]}, "velocity": torch.ones(2)}
    placed = _placed(read, like, torch.device("meta"))
    assert placed["x"].is_meta
    assert placed["velocity"].is_meta
    assert torch.equal(placed["memory"]["sy"], torch.ones(1))
    assert placed["memory"]["order"] == [0]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("method", [*METHODS, *FAMILY])
@pytest.mark.parametrize("map_location", ["cpu", "cuda"])
def test_on_cuda_a_saved_state_goes_on_wherever_it_is_read_to(method, map_location):
    def run(steps, model, optimizer):
        call = with_graph(model, optimizer, *(t.cuda() for t in data()))
        for _ in range(steps):
            optimizer.step(call)
        return flat(model)

    model = mlp().cuda()
    optimizer = as_torch_optimizer(model.parameters(), method)
    run(4, model, optimizer)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    read = torch.load(file, weights_only=True, map_location=map_location)
    fresh = mlp().cuda()
    fresh.load_state_dict(read["model"])
    resumed = as_torch_optimizer(fresh.parameters(), method)
    resumed.load_state_dict(read["optimizer"])
    assert torch.allclose(run(4, fresh, resumed), run(4, model, optimizer), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_moved_between_steps_are_where_the_next_step_starts(method):
    (p,), loss = minimised(lambda p: ((p - 1) ** 4 + (p - 1) ** 2).sum(), [3.0, -2.0, 0.5])
    optimizer = as_torch_optimizer([p], method)
    for _ in range(2):
        optimizer.step(loss)
    with torch.no_grad():
        p.copy_(torch.tensor([2.0, 2.0, 2.0]))
    assert float(optimizer.step(loss)) == pytest.approx(6.0, rel=1e-15)
    assert loss() < 6.0 or isinstance(method, SGD)


@pytest.mark.parametrize("method", [NewtonCG(), NewtonCGLineSearch()])
def test_a_search_for_negative_curvature_goes_on_at_the_next_step(method):
    """At the origin of this saddle 200 products leave it open whether there is any."""
    n = 400
    values = torch.linspace(0.01, 1, n, dtype=torch.float64)
    values[0] = -1e-5
    Q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    A = Q * values @ Q.T
    (p,), loss = minimised(lambda p: 0.5 * torch.dot(p, A @ p) + 1e-6 * (p**4).sum(), [0.0] * n)
    optimizer = as_torch_optimizer([p], method)
    for _ in range(4):
        optimizer.step(loss)
    assert loss() < 0


def test_a_method_that_needs_outputs_is_refused_when_it_is_given():
    with pytest.raises(OptionError, match=r"GaussNewton needs the model's outputs.*use NewtonCG"):
        as_torch_optimizer(mlp().parameters(), GaussNewton())


def products_of(vector_of):
    """Products at x before and after an evaluation elsewhere, beside the dense Hessian."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = vector_of().double()
        inputs = torch.randn(4, 1, 5, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    at = LiveParameters(list(parameters.values()), list(parameters))
    objective = ClosureObjective(lambda: (model(inputs) ** 2).mean().sin(), at, Counter(1))
    x = at.read()
    v = torch.linspace(-1, 1, len(x), dtype=torch.float64)

    def value(vector):
        return (torch.func.functional_call(model, at.layout.named(vector), (inputs,)) ** 2).mean().sin()

    with sdpa_kernel(SDPBackend.MATH):
        here, elsewhere = (torch.autograd.functional.hessian(value, point) @ v for point in (x, 2 * x))
    with objective.curvature(x) as curvature:
        first = curvature @ v
        objective.evaluate(2 * x)
        with objective.curvature(2 * x) as other:
            second, third = curvature @ v, other @ v
            columns = curvature @ torch.stack([v, 2 * v], dim=1)
    return [(first, here), (second, here), (third, elsewhere), (columns, torch.stack([here, 2 * here], dim=1))]


class Scaled(nn.Module):
    """Parameters that the graph saves themselves, not as transposed views."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(1))

    def forward(self, x):
        return torch.tanh(self.a * x) * self.b**3


class Attention(nn.Module):
    """The fused kernels, which a closure chooses by itself, have no double backward."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(5, 12)

    def forward(self, x):
        q, k, v = self.project(x.transpose(0, 1)).chunk(3, dim=-1)
        return functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize(
    "make",
    [
        Scaled,
        Attention,
        lambda: nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.LayerNorm(3), nn.Linear(3, 2)),
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.Tanh(), nn.Conv1d(2, 1, 2)),
    ],
)
def test_products_stay_those_of_their_point_while_the_parameters_move(make):
    for found, expected in products_of(make):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_a_graph_of_the_callers_own_is_never_silently_wrong():
    (p,), loss = minimised(lambda p: (p**3).sum(), [1.0, 2.0])
    kept = loss()
    as_torch_optimizer([p], LBFGS()).step(loss)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.backward()


def test_newton_takes_backward_with_create_graph():
    (p,), loss = minimised(lambda p: (p**2).sum() + p[0] * p[1], [1.0, 2.0])
    optimizer = as_torch_optimizer([p], Newton())

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward(create_graph=True)
        return value

    with pytest.warns(UserWarning, match="create_graph=True"):
        optimizer.step(closure)
    assert torch.allclose(p, torch.zeros(2, dtype=torch.float64), atol=1e-14)
    assert p.grad.grad_fn is None


def test_a_method_that_needs_products_says_that_the_closure_must_leave_the_graph():
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), Newton())
    start = flat(model)
    with pytest.raises(ObjectiveError, match=r"`return loss` without `loss.backward\(\)`"):
        train(model, optimizer, 1, with_backward)
    assert torch.equal(flat(model), start)
    assert train(model, optimizer, 1, with_graph).isfinite().all()


def test_a_closure_that_raises_leaves_the_parameters_where_they_were():
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), BFGS())
    train(model, optimizer, 3)
    start, call, left = flat(model), with_graph(model, optimizer, *data()), 2

    def closure():
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyError("data")
        return call()

    with pytest.raises(KeyError):
        optimizer.step(closure)
    assert torch.equal(flat(model), start)
    assert train(model, optimizer, 2).isfinite().all()


def test_a_failure_is_a_status_and_the_next_step_begins_again():
    (p,), loss = minimised(lambda p: (p - p.log()).sum(), [5.0, 0.01])
    optimizer = as_torch_optimizer([p], BFGS())
    for _ in range(3):
        optimizer.step(loss)
    start = p.detach().clone()
    optimizer.step(lambda: loss() * float("nan"))
    assert torch.equal(p, start)
    assert optimizer.status is Status.DIVERGED
    for _ in range(30):
        optimizer.step(loss)
        if optimizer.status is not Status.RUNNING:
            break
    assert optimizer.status is Status.LINE_SEARCH_FAILED
    assert torch.allclose(p, torch.ones(2, dtype=torch.float64), rtol=1e-6)
    optimizer.step(lambda: (p - 2 * p.log()).sum())
    assert optimizer.status is Status.RUNNING
    assert optimizer._steps == optimizer._state.step > 4


def test_a_gradient_descent_that_leaves_the_numbers_is_diverged():
    (p,), loss = minimised(lambda p: (p**4).sum(), [3.0])
    optimizer = as_torch_optimizer([p], SGD(lr=1.0, batch_size=1))
    assert optimizer.status is Status.RUNNING
    for _ in range(12):
        optimizer.step(loss)
    assert optimizer.status is Status.DIVERGED


@pytest.mark.parametrize("power", [-26, 26])
@pytest.mark.parametrize("method", [BFGS(), LBFGS(), Newton()])
def test_scaling_the_loss_by_a_power_of_two_changes_no_bit_of_the_parameters(method, power):
    paths = []
    for factor in (1.0, 2.0**power):
        model = mlp()
        optimizer = as_torch_optimizer(model.parameters(), method)
        call = with_graph(model, optimizer, *data())
        path = []
        for _ in range(10):
            optimizer.step(lambda call=call, factor=factor: factor * call())
            path.append(flat(model))
        paths.append(torch.stack(path))
    assert torch.equal(*paths)


def test_frozen_unused_named_and_embedded_parameters():
    body, table = nn.Linear(2, 2).double(), nn.Embedding(4, 2, sparse=True).double()
    body.bias.requires_grad_(False)
    spare = nn.Parameter(torch.ones(3, dtype=torch.float64))
    bias = body.bias.clone()
    named = [*body.named_parameters(), ("table", table.weight), ("spare", spare)]
    optimizer = as_torch_optimizer(named, LBFGS())
    words = torch.tensor([0, 1, 1, 3])

    def closure():
        loss = (body(table(words)) ** 2).mean()
        loss.backward()
        return loss

    first = float(optimizer.step(closure))
    for _ in range(20):
        last = float(optimizer.step(closure))
    assert last < 1e-2 * first
    assert torch.equal(body.bias, bias)
    assert body.bias.grad is None
    assert torch.equal(spare, torch.ones(3, dtype=torch.float64))
    body.bias.requires_grad_(True)
    with pytest.raises(OptionError, match="frozen or unfrozen"):
        optimizer.step(closure)


def test_a_closure_may_return_a_number_after_backward():
    (p,), loss = minimised(lambda p: ((p - 2) ** 2).sum(), [0.0, 5.0])
    optimizer = as_torch_optimizer([p], BFGS())

    def closure():
        value = loss()
        value.backward()
        return value.item()

    for _ in range(8):
        optimizer.step(closure)
    assert torch.allclose(p, torch.full((2,), 2.0, dtype=torch.float64))


def test_a_scheduler_on_a_method_without_a_rate_warns_that_it_does_nothing():
    (p,), loss = minimised(lambda p: (p**2).sum() + p.exp().sum(), [3.0, 1.0])
    optimizer = as_torch_optimizer([p], LBFGS())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step(loss)
    scheduler.step()
    with pytest.warns(UserWarning, match="LBFGS finds its step length itself"):
        optimizer.step(loss)


def leaf(*shape, dtype=torch.float64, trained=True):
    return torch.zeros(*shape, dtype=dtype).requires_grad_(trained)


ONE = leaf(2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (lambda: [{"params": [leaf(2)]}, {"params": [leaf(2)]}], "takes one group of parameters"),
        (lambda: [{"params": [leaf(2)], "lr": 0.1}], r"no options by group \(lr\)"),
        (lambda: [leaf(2), leaf(2, dtype=torch.float32)], "one dtype; got torch.float32, torch.float64"),
        (lambda: [leaf(2), leaf(2).detach().to("meta").requires_grad_()], "one device; got cpu, meta"),
        (lambda: [leaf(2, trained=False)], "nothing to train"),
        (lambda: [leaf(2, dtype=torch.complex64)], "must hold floating-point numbers"),
        (lambda: [ONE, ONE], "appears twice"),
        (lambda: [("a", ONE), ("b", ONE)], "appears twice"),
        (list, "params is empty"),
        (lambda: ONE, "must be a list of tensors"),
        (lambda: [2 * ONE], "non-leaf"),
        (lambda: ["weight"], "can only optimize Tensors"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_in_one_line(params, message):
    with pytest.raises(OptionError, match=message) as caught:
        as_torch_optimizer(params(), BFGS())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [BFGS, torch.optim.SGD, "bfgs", TorchOptimizer(torch.optim.Adam)])
def test_what_is_no_method_of_ours_is_refused(method):
    with pytest.raises(OptionError, match=r"one of hessrun.optimizers|torch optimizer already"):
        as_torch_optimizer([leaf(2)], method)


def test_another_group_later_is_refused():
    optimizer = as_torch_optimizer([leaf(2)], BFGS())
    with pytest.raises(OptionError, match="takes one group of parameters"):
        optimizer.add_param_group({"params": [leaf(3)]})


@pytest.mark.parametrize(
    ("closure", "error", "message"),
    [
        (None, OptionError, "needs a closure"),
        (lambda p: None, ObjectiveError, "returned NoneType"),
        (lambda p: p**2, ObjectiveError, r"returned the shape \[2\]"),
        (lambda p: (p.detach() ** 2).sum(), ObjectiveError, "has no graph"),
        (lambda p: 3.0, ObjectiveError, "has no graph"),
    ],
)
def test_closures_that_cannot_be_minimised_are_refused_in_one_line(closure, error, message):
    p = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = as_torch_optimizer([p], BFGS())
    with pytest.raises(error, match=message) as caught:
        optimizer.step(closure and (lambda: closure(p)))
    assert "\n" not in str(caught.value)


def test_a_state_of_another_method_model_or_optimizer_is_refused():
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), BFGS())
    train(model, optimizer, 2)
    with pytest.raises(OptionError, match="saved by BFGS; the method here is LBFGS"):
        as_torch_optimizer(model.parameters(), LBFGS()).load_state_dict(optimizer.state_dict())
    with pytest.raises(OptionError, match=r"42 numbers of torch\.float64; here are 42 of torch\.float32"):
        as_torch_optimizer(mlp(torch.float32).parameters(), BFGS()).load_state_dict(optimizer.state_dict())
    with pytest.raises(OptionError, match="another optimizer"):
        optimizer.load_state_dict(torch.optim.SGD(model.parameters(), lr=0.1).state_dict())


def test_a_model_that_changed_its_dtype_is_refused():
    model = mlp()
    optimizer = as_torch_optimizer(model.parameters(), BFGS())
    train(model, optimizer, 2)
    model.float()
    with pytest.raises(OptionError, match="move the model first"):
        train(model, optimizer, 1, dtype=torch.float32)
