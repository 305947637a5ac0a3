"""The exact Hessian of the digits MLP beside torch.func.hessian: seconds, difference, memory."""

from collections.abc import Iterator

import torch

from bench.curvature.memory import peak_bytes
from bench.curvature.networks import digits_mlp
from bench.setting import Setting, say
from bench.table import Row, milliseconds
from bench.timing import in_turns


def rows(setting: Setting) -> Iterator[Row]:
    """One and two hidden layers of 32, in float32."""
    for layers in (1, 2):
        yield from _case(setting, layers)


def _case(setting: Setting, layers: int) -> Iterator[Row]:
    network = digits_mlp(setting, torch.float32, hidden_layers=layers)
    risk, f = network.risk.uncounted(), network.function()
    x, n = risk.x0, risk.dim
    what = f"exact Hessian, digits MLP, hidden layers: {layers}, n = {n:,}, float32"
    say(what)
    ours, theirs = risk.hessian(x), torch.func.hessian(f)(x)
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    del ours, theirs
    seconds = in_turns(
        setting, {"ours": lambda: risk.hessian(x), "torch": lambda: torch.func.hessian(f)(x)}, is_warm=True
    )
    yield Row.at_least(
        what,
        milliseconds(seconds["ours"]),
        f"torch.func {milliseconds(seconds['torch'])}",
        seconds["torch"] / seconds["ours"],
        18,
    )
    yield Row.within("  largest difference / largest entry", difference, 1e-6)
    peak, memory = peak_bytes(setting, layers), "  peak memory of a call, in matrices [n, n], result included"
    if peak is None:
        yield Row.not_measured(memory, "this system does not tell")
    else:
        yield Row.within(memory, peak / (n * n * x.element_size()), 4)
