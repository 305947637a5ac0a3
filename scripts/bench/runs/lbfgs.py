"""L-BFGS on all digits: a record beside torch.optim.LBFGS on the bare module, to the loss that torch reaches."""

import copy
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from bench.peers import lbfgs_of_torch
from bench.runs.recorded import Command
from bench.setting import Setting, say
from bench.table import Row, median_ratio, milliseconds
from hessrun.problems.learning import SupervisedProblem

_L2, _MEMORY = 1e-3, 10
_PATIENCE = 4


@dataclass(frozen=True)
class _Torch:
    seconds: float
    evaluations: int
    loss: float


def rows(setting: Setting) -> Iterator[Row]:
    """Seconds and evaluations to the same loss, and seconds of an iteration and of an evaluation, over some starts."""
    iterations = 20 if setting.is_quick else 300
    seconds: tuple[list[float], list[float]] = ([], [])
    evaluations: tuple[list[float], list[float]] = ([], [])
    each: tuple[list[float], list[float]] = ([], [])
    steps: tuple[list[float], list[float]] = ([], [])
    for seed in range(setting.seeds):
        command = _command(setting, iterations, seed)
        theirs = _torch(setting, command.problem, iterations)
        run = command.run(target_loss=theirs.loss).run
        if seed % 2:
            theirs = _torch(setting, command.problem, iterations)
        last = run.trace[-1]
        made, arrived = last["values"] + last["gradients"], run.status["status"] == "target_reached"
        seconds[0].append(last["seconds"] if arrived else math.inf)
        evaluations[0].append(made if arrived else math.inf)
        each[0].append(last["seconds"] / made)
        steps[0].append(last["seconds"] / last["step"])
        seconds[1].append(theirs.seconds)
        evaluations[1].append(theirs.evaluations)
        each[1].append(theirs.seconds / theirs.evaluations)
        steps[1].append(theirs.seconds / iterations)
        say(f"lbfgs: seed {seed}: {last['seconds']:.3g} s and {theirs.seconds:.3g} s to {theirs.loss:.6g}")
    what = f"L-BFGS, digits MLP, to torch's loss at {iterations} iterations"
    median = statistics.median
    for name, (ours, peers) in (("an evaluation", each), ("an iteration", steps)):
        yield Row.at_most(
            f"{what}: {name}",
            milliseconds(median(ours)),
            f"torch {milliseconds(median(peers))}",
            median_ratio(ours, peers),
            1.0,
        )
    for name, (ours, peers) in (("evaluations", evaluations), ("seconds", seconds)):
        yield Row.at_most(
            f"{what}: {name}", f"{median(ours):.4g}", f"torch {median(peers):.4g}", median_ratio(ours, peers), 1.0
        )


def _command(setting: Setting, iterations: int, seed: int) -> Command:
    return Command(
        [
            *("dataset=digits", "model=mlp", f"device={setting.device.type}", f"seed={seed}", "optimizer=lbfgs"),
            *(f"optimizer.memory={_MEMORY}", f"problem.weight_decay={_L2}", "curvature=off"),
            *(f"budget.iterations={_PATIENCE * iterations}", "budget.gradient_tolerance=null"),
            "log_every=1000000",
        ]
    )


def _torch(setting: Setting, problem: SupervisedProblem, iterations: int) -> _Torch:
    problem.train.state_dict(problem.x0)  # puts the start into the module
    module = copy.deepcopy(problem.train.module)
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()
    inputs, targets = problem.train.inputs, problem.train.targets
    parameters = list(module.parameters())
    made = lbfgs_of_torch(parameters, iterations, _MEMORY)
    calls = 0

    def closure() -> torch.Tensor:
        nonlocal calls
        calls += 1
        made.zero_grad()
        loss = cross_entropy(module(inputs), targets)
        loss = loss + 0.5 * _L2 * sum(p.square().sum() for p in parameters)
        loss.backward()
        return loss

    start = setting.now()
    made.step(closure)
    seconds = setting.now() - start
    return _Torch(seconds, calls, float(closure().detach()))
