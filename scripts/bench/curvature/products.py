"""A product with the Hessian after linearisation, beside one gradient: the faster of ours and torch's own."""

from collections.abc import Callable, Iterator

import torch
from torch.nn.functional import cross_entropy

from bench.curvature.networks import attention, digits_mlp, fashion_mnist_mlp, lenet
from bench.networks import Network
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import in_turns
from hessrun.errors import DataError

_COLUMNS = 16
# A turn lasts at least so many seconds.
_LEAST = 0.5

Make = Callable[[Setting, torch.dtype], Network]


def rows(setting: Setting) -> Iterator[Row]:
    """The digits MLP in both dtypes, single and batched; the others in float32, single."""
    cases: list[tuple[str, Make, torch.dtype, float]] = [
        ("digits MLP, float32", digits_mlp, torch.float32, 1.2),
        ("digits MLP, float64", digits_mlp, torch.float64, 1.2),
        ("Fashion MLP", fashion_mnist_mlp, torch.float32, 1.1),
        ("LeNet", lenet, torch.float32, 1.4),
        ("attention block", attention, torch.float32, 1.6),
    ]
    for name, make, dtype, limit in cases:
        say(f"products: {name}")
        try:
            network = make(setting, dtype)
        except DataError as error:
            say(f"products: {error}")
            yield Row.not_measured(f"product beside one gradient, {name}", "no files; see --fashion-mnist")
        else:
            yield from _case(setting, name, network, limit, is_batched=make is digits_mlp)


def _case(setting: Setting, name: str, network: Network, limit: float, *, is_batched: bool) -> Iterator[Row]:
    risk = network.risk.uncounted()
    generator = torch.Generator().manual_seed(0)
    V = torch.randn(risk.dim, _COLUMNS, generator=generator, dtype=torch.float64, device="cpu").to(risk.x0)
    v = V[:, 0].contiguous()
    parameters = list(network.module.parameters())

    def gradient() -> object:
        return torch.autograd.grad(cross_entropy(network.module(network.inputs), network.targets), parameters)

    with risk.curvature(risk.x0) as curvature:
        calls: dict[str, Callable[[], object]] = {
            "product": lambda: curvature @ v,
            "our gradient": lambda: risk.evaluate(risk.x0),
            "torch's gradient": gradient,
        }
        if is_batched:
            calls["batched"] = lambda: curvature @ V
        seconds = in_turns(setting, calls, least=0.01 if setting.is_quick else _LEAST)
    faster = min("our gradient", "torch's gradient", key=seconds.__getitem__)
    cost, peer = seconds[faster], f"{faster} {milliseconds(seconds[faster])}"
    n, examples = risk.dim, risk.n_examples
    what = f"product beside one gradient, {name}, n = {n:,}, {examples:,} examples"
    yield Row.at_most(what, milliseconds(seconds["product"]), peer, seconds["product"] / cost, limit)
    if is_batched:
        each = seconds["batched"] / _COLUMNS
        yield Row.at_most(f"  batched by {_COLUMNS}, per column", milliseconds(each), peer, each / cost, 0.85)
