"""Looks at a module before it is minimised: is its loss a deterministic mean over examples, and what does one take?"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hessrun.errors import ObjectiveError

_SAMPLE = 16


def refuse_unfit_module(
    module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
) -> None:
    """Raise ObjectiveError unless f is a scalar mean over examples that is the same twice and has a graph.

    Batch norm that takes its statistics from the batch is refused by its type: it cannot be evaluated on one example.
    So is dropout: two masks on few examples may be the same. For all else, a few examples are evaluated twice (other
    randomness shows), then in two parts (where examples are mixed or summed, the weighted parts do not give the whole).
    Buffers are put back. Examples that are written over are refused too: others share them.
    """
    random = [name for name, part in _named(module, nn.Module) if _drops_out(part)]
    if random:
        raise ObjectiveError(
            f"The model is random: switch off its randomness in {', '.join(random)} (p=0, or eval mode)."
        )
    mixing = [name for name, part in _named(module, nn.modules.batchnorm._BatchNorm) if _uses_batch_statistics(part)]
    if mixing:
        raise _mixed(mixing)
    # A copy, so that a module that writes over its inputs is refused before it has.
    sample, labels = inputs[:_SAMPLE].clone(), targets[:_SAMPLE].clone()
    as_made = sample._version, labels._version
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(enabled=True, devices=_devices(inputs)):
        first, second = (_value(module, loss, sample, labels) for _ in range(2))
        cut = (len(sample) + 1) // 3
        if cut >= 1:
            parts = [(sample[:cut], labels[:cut]), (sample[cut:], labels[cut:])]
            split = sum(len(x) / len(sample) * _value(module, loss, x, y) for x, y in parts)
        else:
            split = first
        with torch.enable_grad():
            has_graph = _value(module, loss, sample[:1], labels[:1]).requires_grad
        changed = [name for name, buffer in module.named_buffers() if not torch.equal(buffer, buffers[name])]
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
    if (sample._version, labels._version) != as_made:
        raise ObjectiveError(
            "The model or its loss writes over the examples: make what comes first in it a plain operation "
            "(inplace=False)."
        )
    if not has_graph:
        raise ObjectiveError(
            "The loss has no graph: compute it from the outputs, and these from the parameters, with torch operations, "
            "not detached."
        )
    tolerance = 1e4 * torch.finfo(first.dtype).eps * max(1.0, abs(float(first)))
    own_name = type(module).__name__
    if not torch.isclose(first, second, rtol=0.0, atol=tolerance, equal_nan=True):
        raise ObjectiveError(
            f"The model gives two losses at the same parameters ({float(first):.6g} and {float(second):.6g}): "
            f"switch off its randomness in {own_name} (eval mode, or a seed)."
        )
    if changed or not torch.isclose(first, torch.as_tensor(split), rtol=0.0, atol=tolerance, equal_nan=True):
        raise _mixed([own_name])


def _value(module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    value = loss(module(inputs), targets)
    if not isinstance(value, Tensor) or value.ndim != 0:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ObjectiveError(f"The loss must return the mean over its examples, a scalar; it returned {shape}.")
    return value


def _devices(inputs: Tensor) -> list[torch.device]:
    return [inputs.device] if inputs.device.type == "cuda" else []


def _named(module: nn.Module, kind: type[nn.Module]) -> list[tuple[str, nn.Module]]:
    """The parts of a kind, each with its name for a message."""
    return [
        (f"{type(part).__name__} '{name}'", part) for name, part in module.named_modules() if isinstance(part, kind)
    ]


def _drops_out(part: nn.Module) -> bool:
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.training and part.p > 0
    # These keep it as a number.
    return part.training and isinstance(part, nn.MultiheadAttention | nn.RNNBase) and part.dropout > 0


def _uses_batch_statistics(part: nn.Module) -> bool:
    return part.training or part.running_mean is None


def _mixed(names: list[str]) -> ObjectiveError:
    return ObjectiveError(
        f"The model's loss is no mean over examples, it mixes them: use group norm or eval mode in {', '.join(names)}."
    )


def saved_numbers_per_example(
    module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
) -> int:
    """How many numbers autograd keeps for the backward pass of one more example."""

    def saved(count: int) -> int:
        kept: dict[tuple[int, torch.Size], int] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.data_ptr(), tensor.shape] = tensor.numel()
            return tensor

        index = torch.zeros(count, dtype=torch.long, device=inputs.device)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss(module(inputs[index]), targets[index])
        return sum(kept.values())

    return max(1, saved(2) - saved(1))
