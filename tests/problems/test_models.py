"""The models: sizes known from the literature, shapes, and what they refuse."""

import pytest
import torch
from torch import nn

from hessrun.errors import OptionError
from hessrun.problems.models import lenet, linear, mlp, resnet18


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    assert parameters(linear((1, 8, 8), 10)) == 64 * 10 + 10
    assert parameters(mlp((1, 8, 8), 10)) == 2410
    assert parameters(mlp((13,), 3, hidden=[5, 4])) == 13 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3
    assert parameters(lenet((1, 28, 28), 10)) == 61_706  # LeNet-5 with all maps connected
    # torchvision's, less the first convolution's 7x7x3 kernels and the classifier's 1,000 classes.
    assert parameters(resnet18((3, 32, 32), 10)) == 11_689_512 - 64 * 3 * (49 - 9) - 990 * 513


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "gelu", "silu", "elu", "relu"])
def test_activations(activation: str) -> None:
    assert mlp((4,), 2, activation=activation)(torch.ones(3, 4)).shape == (3, 2)
    assert lenet((1, 12, 12), 2, activation=activation)(torch.ones(3, 1, 12, 12)).shape == (3, 2)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 32, 32), (2, 15, 21)])
def test_lenet_takes_any_image_that_is_large_enough(shape: tuple[int, ...]) -> None:
    assert lenet(shape, 7)(torch.ones(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (1, 64, 64)])
def test_resnet_takes_small_images_few_channels_and_mixes_no_examples(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = resnet18(shape, 4, groups=8)
    batch = torch.randn(2, *shape)
    with torch.no_grad():
        together, alone = network(batch), network(batch[:1])
    assert together.shape == (2, 4)
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mlp((4,), 2, hidden=[0]), r"model\.hidden\[0\]=0: must be a whole number, 1 or above"),
        (lambda: mlp((4,), 2, hidden=32), r"model\.hidden=32: must be a list of widths"),
        (lambda: mlp((4,), 2, hidden="32"), r"model\.hidden='32'"),
        (lambda: mlp((4,), 2, activation="tahn"), r"Did you mean 'tanh'\?"),
        (lambda: lenet((1, 8, 8), 10), r"at least 12x12 pixels; this dataset has 8x8: use model=mlp"),
        (lambda: lenet((30,), 2), r"model=lenet takes images .* \[30\]: use model=mlp"),
        (lambda: resnet18((30,), 2), r"model=resnet18 takes images"),
        (lambda: resnet18((1, 8, 8), 2, groups=3), r"model\.groups=3: must divide 64"),
        (lambda: resnet18((1, 8, 8), 2, groups=0), r"model\.groups=0"),
    ],
)
def test_refusals_are_one_line(build, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
