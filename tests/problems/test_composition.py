"""What the parts of a problem may be, and the one line for those that do not fit together."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from hessrun.errors import ObjectiveError, OptionError
from hessrun.problems import supervised
from hessrun.problems.datasets import Diabetes, Wine
from hessrun.problems.losses import Auto, CrossEntropy, MeanSquaredError
from hessrun.problems.models import lenet, linear


def net(n_outputs: int, bias: bool = True) -> nn.Module:
    return nn.Linear(13, n_outputs, bias=bias)


def test_a_builder_is_given_what_it_asks_for() -> None:
    assert supervised(Wine(), net, Auto()).facts.n_parameters == 13 * 3 + 3
    assert supervised(Wine(), functools.partial(net, bias=False), Auto()).facts.n_parameters == 13 * 3
    fixed = supervised(Wine(), functools.partial(nn.Linear, 13, 3), Auto())
    assert fixed.facts.name == "Linear-wine"


def test_an_option_that_is_bound_already_is_kept() -> None:
    with pytest.raises(OptionError, match=r"returns the shape \[2, 5\] for 2 examples.*takes \[2, 3\]"):
        supervised(Wine(), functools.partial(linear, n_outputs=5), Auto())


def test_a_torch_dataset_and_any_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = TensorDataset(torch.randn(40, 2, generator=generator), torch.randn(40, 1, generator=generator))
    problem = supervised(pairs, linear, nn.HuberLoss())
    assert problem.facts.name == "linear-TensorDataset"
    assert (problem.facts.details["loss"], problem.facts.details["task"]) == ("HuberLoss", "regression")
    assert problem.train.evaluate(problem.x0).is_finite()


class Pair(nn.Linear):
    def forward(self, inputs: torch.Tensor):
        return super().forward(inputs), inputs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"seed=-1: must be a whole number, 0 or above"),
        ({"dtype": torch.float16}, r"dtype=torch\.float16: must be torch\.float32 or torch\.float64"),
        ({"dataset": 3}, r"dataset=int: must be a hessrun\.problems\.datasets\.Dataset or a torch"),
        ({"dataset": Diabetes(), "loss": CrossEntropy()}, r"dataset diabetes is a regression"),
        ({"model": nn.Linear(13, 3)}, r"model=Linear is built already.*_partial_: true"),
        ({"model": "mlp"}, r"model='mlp': must be a function or class"),
        ({"model": nn.Linear}, r"model=Linear does not take these arguments: missing a required argument"),
        ({"model": lambda n_outputs: n_outputs}, r"must return a torch\.nn\.Module; it returned int"),
        ({"model": functools.partial(nn.Linear, 4, 3)}, r"does not take inputs of the shape \[2, 13\]: "),
        ({"model": functools.partial(nn.Linear, 13, 2)}, r"returns the shape \[2, 2\].*loss=cross_entropy.*\[2, 3\]"),
        ({"model": functools.partial(nn.Linear, 13, 1), "loss": MeanSquaredError()}, r"takes \[2, 3\]"),
        ({"model": functools.partial(Pair, 13, 3)}, r"The model Pair must return a tensor; it returned tuple"),
        ({"loss": nn.CosineEmbeddingLoss()}, r"does not take outputs"),
        ({"loss": nn.BCEWithLogitsLoss()}, r"loss=BCEWithLogitsLoss does not take outputs \[2, 3\] with targets \[2\]"),
        ({"weight_decay": -1.0}, r"weight_decay=-1\.0"),
        ({"chunk_size": 0}, r"chunk_size=0"),
        ({"model": lenet}, r"model=lenet takes images"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(options: dict, message: str) -> None:
    parts = {"dataset": Wine(), "model": linear, "loss": Auto(), **options}
    with pytest.raises(OptionError, match=message) as caught:
        supervised(**parts)
    assert "\n" not in str(caught.value)


def test_a_model_that_draws_random_numbers_is_refused_and_leaves_the_generator_alone() -> None:
    def build(n_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(13, n_outputs), nn.Dropout(0.5))

    before = torch.get_rng_state()
    with pytest.raises(ObjectiveError, match="Dropout"):
        supervised(Wine(), build, Auto())
    assert torch.equal(torch.get_rng_state(), before)
