"""Joins a dataset, a model and a loss to a problem, and says in one line where they do not fit together."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.utils.data
from torch import Tensor, nn

from hessrun.errors import OptionError
from hessrun.objective import EmpiricalRisk, Examples, InMemory, Streamed
from hessrun.objective.shard import Shard
from hessrun.objective.sharded import ShardedRisk
from hessrun.options import integer
from hessrun.problems.datasets.data import Data, Split, StreamedSplit
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.foreign import TorchDataset
from hessrun.problems.learning import HeldOut, SupervisedProblem
from hessrun.problems.losses import Loss, loss_for
from hessrun.problems.problem import ProblemFacts
from hessrun.problems.shares import measured_here, part_of

ModelBuilder = Callable[..., nn.Module]


def supervised(
    dataset: Dataset | torch.utils.data.Dataset[Any] | Data,
    model: ModelBuilder,
    loss: Loss | Callable[[Tensor, Tensor], Tensor],
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    weight_decay: float | Mapping[str, float] = 0.0,
    chunk_size: int | None = None,
    graph_memory: int = 2**30,
) -> SupervisedProblem:
    """The problem of training a model on a dataset.

    dataset: one of `hessrun.problems.datasets`, any torch dataset of pairs (input, target), or what one has loaded.
    model: a function or class that returns a module, its options bound by functools.partial; it is given
        `input_shape` (of one example) and `n_outputs` where it has parameters of these names.
    loss: one of `hessrun.problems.losses`, or any function (outputs, targets) -> mean over the examples.
    seed: of the start and of the order of the batches, 0 or above; the splits have their own.
    dtype: torch.float32 or float64; the start is drawn in torch's default dtype, so that it is the same in both.
    weight_decay: w >= 0 of the term 1/2 w |x|^2, one number or one per glob pattern on parameter names.
    chunk_size: examples of a chunk, 1 or above; None takes a rule from the model's shapes.
    graph_memory: bytes that the graphs kept between Hessian-vector products may take, 0 or above; beyond, they are made
        anew for each product.

    Raises OptionError for options outside their ranges and parts that do not fit together, DataError for a dataset
    that cannot be read, ObjectiveError for a model that is not deterministic. torch's global generator is untouched.
    """
    integer("seed", seed, minimum=0)
    if dtype not in (torch.float32, torch.float64):
        raise OptionError(f"dtype={dtype}: must be torch.float32 or torch.float64")
    data = dataset if isinstance(dataset, Data) else _as_dataset(dataset).load()
    loss = loss_for(data, loss)
    module = _build(model, data, seed).to(device=device, dtype=dtype)
    shard = Shard.of_this_rank(len(data.train))
    shard.refuse_empty("The training split")
    train = _examples(part_of(data.train, shard), data, loss, dtype, device)
    _refuse_unfit_output(module, loss, train, data)
    risk = EmpiricalRisk(
        module,
        loss,
        train,
        weight_decay=weight_decay,
        chunk_size=chunk_size,
        graph_memory=graph_memory,
    )
    held_out = tuple(
        HeldOut(name, risk.on(_examples(split, data, loss, dtype, device)), _classes(split, data, device), share)
        for name, whole in (("validation", data.validation), ("test", data.test))
        if len(whole) > 0
        for split, share in [measured_here(whole)]
    )
    facts = ProblemFacts(
        name=f"{_model_name(model)}-{data.name}",
        kind="supervised",
        n_parameters=risk.dim,
        n_examples=len(data.train),
        details={
            "dataset": data.name,
            "model": _model_name(model),
            "loss": loss.name,
            "task": data.task,
            "input_shape": list(data.input_shape),
            "n_outputs": data.n_outputs,
            "n_train": len(data.train),
            "n_validation": len(data.validation),
            "n_test": len(data.test),
            "weight_decay": dict(weight_decay) if isinstance(weight_decay, Mapping) else weight_decay,
            "chunk_size": risk.chunk_size,
            "fingerprint": data.fingerprint,
            **data.details,
        },
    )
    objective = risk if shard.is_all else ShardedRisk(risk, shard)
    return SupervisedProblem(objective, held_out, seed=seed, facts=facts)


def _as_dataset(dataset: Dataset | torch.utils.data.Dataset[Any]) -> Dataset:
    if isinstance(dataset, Dataset):
        return dataset
    if isinstance(dataset, torch.utils.data.Dataset):
        return TorchDataset(dataset=dataset)
    raise OptionError(
        f"dataset={type(dataset).__name__}: must be a hessrun.problems.datasets.Dataset or a torch.utils.data.Dataset"
    )


def _build(model: ModelBuilder, data: Data, seed: int) -> nn.Module:
    name = _model_name(model)
    if isinstance(model, nn.Module):
        raise OptionError(
            f"model={name} is built already, so that its start does not follow the seed: give the class or function "
            "that builds it (`_partial_: true` in YAML, functools.partial in Python)."
        )
    if not callable(model):
        raise OptionError(f"model={model!r}: must be a function or class that returns a torch.nn.Module")
    signature = inspect.signature(model)
    bound = model.keywords if isinstance(model, functools.partial) else {}
    offered: dict[str, Any] = {"input_shape": data.input_shape, "n_outputs": data.n_outputs}
    given = {key: value for key, value in offered.items() if key in signature.parameters and key not in bound}
    try:
        signature.bind(**given)
    except TypeError as error:
        raise OptionError(f"model={name} does not take these arguments: {error}.") from None
    # The host's generator alone: the module is built there, on whichever device it then runs.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = model(**given)
    if not isinstance(module, nn.Module):
        raise OptionError(f"model={name} must return a torch.nn.Module; it returned {type(module).__name__}.")
    return module


def _model_name(model: ModelBuilder) -> str:
    while isinstance(model, functools.partial):
        model = model.func
    return getattr(model, "__name__", type(model).__name__)


def _examples(
    split: Split | StreamedSplit, data: Data, loss: Loss, dtype: torch.dtype, device: torch.device | str
) -> Examples:
    def encoded(part: Split, device: torch.device | str) -> tuple[Tensor, Tensor]:
        targets = loss.encode(part.targets, data)
        kind = dtype if targets.is_floating_point() else targets.dtype
        return part.inputs.to(device=device, dtype=dtype), targets.to(device=device, dtype=kind)

    if isinstance(split, Split):
        return InMemory(*encoded(split, device))
    return Streamed(lambda places: encoded(split.read(places), "cpu"), np.arange(len(split)), device=device)


def _classes(split: Split | StreamedSplit, data: Data, device: torch.device | str) -> Tensor | None:
    if data.task != "classification":
        return None
    classes = split.targets if isinstance(split, Split) else split.classes
    return None if classes is None else classes.to(device)


def _refuse_unfit_output(module: nn.Module, loss: Loss, train: Examples, data: Data) -> None:
    """Raise OptionError where the model does not take the inputs, or its outputs are not what the loss takes."""
    # Copies: a module that writes over its inputs is refused later.
    inputs, targets = (part.clone() for part in train.chunk(0, 2))
    name = type(module).__name__
    try:
        # A module that draws random numbers is refused later, with its own message.
        with torch.no_grad(), torch.random.fork_rng(devices=[inputs.device] if inputs.is_cuda else []):
            outputs = module(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise OptionError(
            f"The model {name} does not take inputs of the shape {list(inputs.shape)}: {_first_line(error)}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise OptionError(f"The model {name} must return a tensor; it returned {type(outputs).__name__}.")
    expected = loss.output_shape(data)
    if expected is not None and outputs.shape != (len(inputs), *expected):
        raise OptionError(
            f"The model {name} returns the shape {list(outputs.shape)} for {len(inputs)} examples; loss={loss.name} "
            f"on dataset {data.name} takes {[len(inputs), *expected]}."
        )
    try:
        loss(outputs, targets)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise OptionError(
            f"loss={loss.name} does not take outputs {list(outputs.shape)} with targets {list(targets.shape)} of "
            f"{targets.dtype}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
