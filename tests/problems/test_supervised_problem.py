"""The supervised problem against sums written out by hand."""

import functools
import subprocess
import sys

import pytest
import torch
from torch import nn

from hessrun.problems import SupervisedProblem, supervised
from hessrun.problems.datasets import Diabetes, Digits, Wine
from hessrun.problems.losses import Auto, CrossEntropy, MeanSquaredError
from hessrun.problems.models import linear, mlp


def wine(seed: int = 0, **options) -> SupervisedProblem:
    return supervised(Wine(), functools.partial(mlp, hidden=[4]), Auto(), seed=seed, **options)


def test_the_default_problem_and_its_facts() -> None:
    problem = supervised(Digits(), mlp, Auto(), weight_decay={"*weight": 0.01})
    assert len(problem.x0) == problem.facts.n_parameters == problem.train.dim == 2410
    facts = problem.facts
    assert (facts.name, facts.kind, facts.n_examples, facts.known_minimum) == ("mlp-digits", "supervised", 1257, None)
    details = facts.details
    assert [details[key] for key in ("n_train", "n_validation", "n_test")] == [1257, 270, 270]
    assert (details["loss"], details["task"], details["input_shape"]) == ("cross_entropy", "classification", [1, 8, 8])
    assert (details["standardise"], details["split_seed"], details["weight_decay"]) == (True, 0, {"*weight": 0.01})
    assert len(details["fingerprint"]) == 64


def test_metrics_are_those_of_the_plain_module() -> None:
    problem, data = wine(seed=3, weight_decay=0.1), Wine().load()
    x = problem.x0 + 0.1
    module = mlp((13,), 3, hidden=[4]).double()
    module.load_state_dict(problem.state_dict(x))
    loss = nn.functional.cross_entropy(module(data.train.inputs), data.train.targets) + 0.05 * (x @ x)
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, module.parameters(), allow_unused=True)])
    # The penalty above is in x, not in the module: its gradient is added by hand.
    gradient = gradient + 0.1 * x
    expected = {"train_loss": loss.item(), "gradient_norm": gradient.norm(), "gradient_max": gradient.abs().max()}
    for name, split in (("validation", data.validation), ("test", data.test)):
        outputs = module(split.inputs)
        expected[f"{name}_loss"] = nn.functional.cross_entropy(outputs, split.targets).item()
        expected[f"{name}_accuracy"] = (outputs.argmax(1) == split.targets).double().mean().item()
    found = problem.metrics(x)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value == pytest.approx(float(expected[name]), rel=1e-10), name


def test_metrics_are_never_counted_and_reuse_an_evaluation() -> None:
    problem = wine()
    fresh = problem.metrics(problem.x0)
    assert problem.train.counts.gradients == problem.train.counts.values == 0
    evaluation = problem.train.evaluate(problem.x0)
    assert problem.metrics(problem.x0, evaluation) == fresh
    value_alone = problem.train.evaluate(problem.x0, gradient=False)
    assert problem.metrics(problem.x0, value_alone) == fresh
    assert (problem.train.counts.gradients, problem.train.counts.values) == (1, 1)


def test_a_regression_has_no_accuracy() -> None:
    problem = supervised(Diabetes(), linear, Auto())
    names = set(problem.metrics(problem.x0))
    assert names == {"train_loss", "gradient_norm", "gradient_max", "validation_loss", "test_loss"}


def test_accuracy_under_squared_error_is_by_the_largest_output() -> None:
    squared = supervised(Wine(), linear, MeanSquaredError())
    entropy = supervised(Wine(), linear, CrossEntropy())
    assert torch.equal(squared.x0, entropy.x0)
    a, b = squared.metrics(squared.x0), entropy.metrics(entropy.x0)
    assert a["test_accuracy"] == b["test_accuracy"]
    assert a["test_loss"] != b["test_loss"]


def test_without_held_out_splits_there_are_only_training_columns() -> None:
    problem = supervised(Wine(validation_fraction=0.0, test_fraction=0.0), linear, Auto())
    assert set(problem.metrics(problem.x0)) == {"train_loss", "gradient_norm", "gradient_max"}


def test_minibatches_of_an_epoch_average_to_the_whole_and_count_one_pass() -> None:
    problem = wine()  # 124 examples: 12 batches of 10 and one of 4
    parts = [problem.minibatch(step, 10) for step in range(13)]
    weighted = sum(part.n_batch / 124 * part.evaluate(problem.x0).gradient for part in parts)
    assert problem.train.counts.gradients == 1
    torch.testing.assert_close(weighted, problem.train.evaluate(problem.x0).gradient)
    assert problem.minibatch(5, 1000) is problem.train


def test_the_start_follows_the_seed_and_is_the_same_in_both_precisions() -> None:
    before = torch.get_rng_state()
    assert torch.equal(wine(1).x0, wine(1).x0)
    assert not torch.equal(wine(1).x0, wine(2).x0)
    assert torch.equal(wine(1, dtype=torch.float32).x0.double(), wine(1).x0)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_share_their_splits() -> None:
    assert wine(1).facts.details["fingerprint"] == wine(2).facts.details["fingerprint"]


def test_the_state_dict_holds_buffers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor(2.0))
            self.inner = nn.Linear(13, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.scale * self.inner(inputs)

    problem = supervised(Wine(), Scaled, Auto())
    state = problem.state_dict(problem.x0)
    assert list(state) == ["scale", "inner.weight", "inner.bias"]
    module = Scaled().double()
    module.load_state_dict(state)
    flat = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    assert torch.equal(flat, problem.x0)


def test_the_default_path_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hessrun.problems import supervised; from hessrun.problems.datasets import Digits;"
        "from hessrun.problems.models import mlp; from hessrun.problems.losses import Auto;"
        "supervised(Digits(), mlp, Auto());"
        "print(sorted({'sklearn', 'torchvision', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_changes_neither_the_start_nor_the_batches() -> None:
    here, there = wine(4), wine(4, device="cuda")
    assert torch.equal(here.x0, there.x0.cpu())
    batch, twin = here.minibatch(17, 10), there.minibatch(17, 10)
    assert torch.equal(batch.inputs, twin.inputs.cpu())  # type: ignore[attr-defined]
    assert here.metrics(here.x0) == pytest.approx(there.metrics(there.x0), rel=1e-9)
