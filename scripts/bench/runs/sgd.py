"""SGD on Fashion-MNIST: the optimizer's seconds of a record beside a loop of bare PyTorch, on the same batches."""

import copy
import statistics
from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy

from bench.runs.recorded import Command
from bench.setting import Setting, say
from bench.table import Row, median_ratio, milliseconds
from hessrun.errors import DataError
from hessrun.problems.batches import BatchOrder
from hessrun.problems.learning import SupervisedProblem

_BATCH, _LR, _MOMENTUM, _SEED = 128, 0.05, 0.9, 0
_ROUNDS = 7


def rows(setting: Setting) -> Iterator[Row]:
    """Two epochs of 54,000 images in both dtypes; the median of the ratios of runs one after the other."""
    for dtype in ("float32", "float64"):
        what = f"SGD, batch {_BATCH}, Fashion-MNIST MLP, {dtype}"
        try:
            yield _row(setting, what, dtype)
        except DataError as error:
            say(f"sgd: {error}")
            yield Row.not_measured(what, "no files; see --fashion-mnist")


def _row(setting: Setting, what: str, dtype: str) -> Row:
    n_examples, steps = (1000, 16) if setting.is_quick else (60_000, 844)
    command = Command(
        [
            *("dataset=fashion_mnist", f"dataset.source={setting.fashion_mnist}", f"dataset.limit={n_examples}"),
            *("model=mlp", "model.hidden=[64]", f"dtype={dtype}", f"device={setting.device.type}", f"seed={_SEED}"),
            *("optimizer=sgd", f"optimizer.batch_size={_BATCH}", f"optimizer.lr={_LR}"),
            *(f"optimizer.momentum={_MOMENTUM}", f"budget.iterations={steps}", f"log_every={steps}"),
            *("budget.gradient_tolerance=null", f"budget.check_every={steps}", "curvature=off"),
            "problem.weight_decay=0",
        ]
    )
    ours: list[float] = []
    theirs: list[float] = []
    _bare(setting, command.problem, steps)
    for turn in range(1 if setting.is_quick else _ROUNDS):
        if turn % 2:
            theirs.append(_bare(setting, command.problem, steps)[0])
        found = command.run()
        ours.append(found.run.trace[-1]["seconds"])
        seconds, x = _bare(setting, command.problem, steps)
        if not turn % 2:
            theirs.append(seconds)
        apart = float((x - found.x).abs().amax())
        if apart > 1e-3:
            raise RuntimeError(f"the two loops end {apart:.2g} apart: they do not compute the same")
        say(f"sgd: {dtype}, {ours[-1]:.3g} s and {theirs[-1]:.3g} s, {apart:.1g} apart")
    return Row.at_most(
        f"{what}: a step of a recorded run",
        milliseconds(statistics.median(ours) / steps),
        f"bare PyTorch {milliseconds(statistics.median(theirs) / steps)}",
        median_ratio(ours, theirs),
        1.10,
    )


def _bare(setting: Setting, problem: SupervisedProblem, steps: int) -> tuple[float, torch.Tensor]:
    """Seconds, and the parameters at the end as one vector [n]."""
    problem.train.state_dict(problem.x0)  # puts the start into the module
    module = copy.deepcopy(problem.train.module)
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()
    inputs, targets = problem.train.inputs, problem.train.targets
    order = BatchOrder(len(inputs), _SEED, setting.device)
    optimizer = torch.optim.SGD(module.parameters(), lr=_LR, momentum=_MOMENTUM)
    start = setting.now()
    for step in range(steps):
        batch = order.indices(step, _BATCH)
        loss = cross_entropy(module(inputs[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = setting.now() - start
    return seconds, torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
