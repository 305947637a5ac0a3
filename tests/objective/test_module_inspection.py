"""Modules that are no deterministic mean over examples are refused at birth."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hessrun.errors import ObjectiveError
from hessrun.objective import EmpiricalRisk


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + torch.randn_like(x)


class Centred(nn.Linear):
    """Subtracts the mean over the batch, as batch norm does, without being one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


def build(module: nn.Module, n: int, loss=functional.mse_loss) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(2, n, 2, generator=generator, dtype=torch.float64)
    return EmpiricalRisk(module.double(), loss, inputs, targets)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40])
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 2)), "randomness in Dropout '1'"),
        (Noisy, "randomness in Noisy"),
    ],
)
def test_random_modules(module, message, n):
    generator = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        with pytest.raises(ObjectiveError, match=message):
            build(module(), n)
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("track", [True, False])
def test_batch_norm_in_training_mode(track, n):
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=track))
    with pytest.raises(ObjectiveError, match="mixes them: use group norm or eval mode in BatchNorm1d '1'"):
        build(module, n)


def test_batch_norm_without_running_statistics_mixes_in_eval_mode_too():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    with pytest.raises(ObjectiveError, match="BatchNorm1d '1'"):
        build(module, 8)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_other_mixtures_of_examples(n):
    with pytest.raises(ObjectiveError, match="no mean over examples"):
        build(Centred(2, 2), n)
    with pytest.raises(ObjectiveError, match="no mean over examples"):
        build(nn.Linear(2, 2), n, loss=lambda outputs, targets: functional.mse_loss(outputs, targets, reduction="sum"))


@pytest.mark.parametrize("loss", [lambda a, b: (a - b) ** 2, lambda a, b: float(((a - b) ** 2).mean())])
def test_losses_that_are_no_scalars(loss):
    with pytest.raises(ObjectiveError, match="The loss must return the mean over its examples, a scalar"):
        build(nn.Linear(2, 2), 5, loss=loss)


def test_dropout_that_is_off_is_fine():
    for module in (
        nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)),
        nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval(),
    ):
        risk = build(module, 5)
        assert risk.evaluate(risk.x0).is_finite()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (nn.MultiheadAttention(2, 1, dropout=0.1, batch_first=True), "MultiheadAttention '1'"),
        (nn.TransformerEncoderLayer(2, 1, 4, batch_first=True), "Dropout"),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), "LSTM '1'"),
    ],
)
def test_dropout_inside_attention_and_recurrent_layers(part, message):
    with pytest.raises(
        ObjectiveError, match=rf"The model is random: switch off its randomness in .*{message}.* eval mode"
    ):
        build(nn.Sequential(nn.Linear(2, 2), part), 5)


@pytest.mark.parametrize("loss", [lambda a, b: (a.detach() - b).pow(2).mean(), lambda a, b: b.pow(2).mean()])
def test_a_loss_without_a_graph(loss):
    with pytest.raises(ObjectiveError, match="The loss has no graph: compute it from the outputs"):
        build(nn.Linear(2, 2), 5, loss=loss)


def test_a_module_that_writes_over_its_inputs_is_refused_before_it_has():
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    kept = inputs.clone()
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)).double()
    with pytest.raises(ObjectiveError, match="writes over the examples"):
        EmpiricalRisk(module, functional.mse_loss, inputs, torch.zeros(4, 2, dtype=torch.float64))
    assert torch.equal(inputs, kept)


def test_a_module_that_writes_over_what_it_computed_is_fine():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).double()
    EmpiricalRisk(module, functional.mse_loss, torch.ones(4, 3).double(), torch.zeros(4, 2, dtype=torch.float64))
