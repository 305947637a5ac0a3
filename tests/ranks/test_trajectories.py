"""Ten steps of every method over two and three ranks, beside ten in one process."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crew import Crew

from hessrun import optimizers as ours
from hessrun.objective.sharded import ShardedRisk
from hessrun.optimizers import Optimizer, TorchOptimizer
from hessrun.optimizers.parts import Part
from hessrun.problems import SupervisedProblem, supervised
from hessrun.problems.datasets import Wine
from hessrun.problems.losses import Auto
from hessrun.problems.models import linear, mlp
from hessrun.record import Spectrum
from hessrun.run import Budget, Loop, Outcome, Probe

STEPS = 10
METHODS: dict[str, Callable[[], Optimizer[Any]]] = {
    "gd": lambda: ours.SGD(lr=0.1),
    "sgd": lambda: ours.SGD(lr=0.1, momentum=0.9, batch_size=16),
    "newton": ours.Newton,
    "newton_trust": ours.NewtonTrust,
    "newton_cg": ours.NewtonCG,
    "newton_cg_sampled": lambda: ours.NewtonCG(batch_size=40, product_batch_size=20),
    "newton_cg_line_search": ours.NewtonCGLineSearch,
    "gauss_newton": ours.GaussNewton,
    "bfgs": ours.BFGS,
    "dfp": ours.DFP,
    "broyden": ours.Broyden,
    "ssbfgs": ours.SSBFGS,
    "sr1": ours.SR1,
    "lbfgs": ours.LBFGS,
    "lbfgs_multibatch": lambda: ours.LBFGSMultibatch(batch_size=40),
    "adam": lambda: TorchOptimizer(torch.optim.Adam, {"lr": 0.01}, batch_size=5),
    "torch_lbfgs": lambda: TorchOptimizer(torch.optim.LBFGS, {"line_search_fn": "strong_wolfe"}),
    "muon": lambda: TorchOptimizer(
        parts=[
            Part("*weight", algorithm=torch.optim.Muon, settings={"lr": 0.01}),
            Part(algorithm=torch.optim.AdamW, settings={"lr": 0.01}),
        ]
    ),
}
# Where they meet negative curvature, these make 1e-16 of rounding 1e-8 and 1e-4 in ten steps, in one process too (other
# chunks show it): for them the model is convex.
ON_A_CONVEX_MODEL = {"newton_cg", "newton_cg_line_search"}
# Of three ranks, the quick tests take one method of a kind.
AT_THREE = {"sgd", "newton", "lbfgs", "gauss_newton"}
# What ranks do for these they do for BFGS.
LIKE_BFGS = {"dfp", "broyden", "ssbfgs"}
PROBES = {
    "off": lambda: Probe(kind="off"),
    "exact": lambda: Probe(kind="exact"),
    "lanczos": lambda: Probe(kind="lanczos", eigenvalues=4, quasi_newton=True),
    "density": lambda: Probe(kind="density", random_vectors=3, products=20),
}


class Kept:
    """Keeps what the loop tells."""

    interrupted = False

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.spectra: list[Spectrum] = []
        self.x: bytes = b""

    def started(self) -> None:
        pass

    def row(self, row: dict[str, Any]) -> None:
        self.rows.append({key: value for key, value in row.items() if not key.startswith("seconds")})

    def spectrum(self, spectrum: Spectrum, x: torch.Tensor) -> None:
        self.spectra.append(spectrum)

    def between(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        pass

    def wants_checkpoint(self, step: int) -> bool:
        return False

    def ended(self, outcome: Outcome) -> None:
        self.x = outcome.x.numpy().tobytes()


def _problem(method: str) -> SupervisedProblem:
    model = linear if method in ON_A_CONVEX_MODEL else functools.partial(mlp, hidden=[4])
    return supervised(Wine(), model, Auto(), weight_decay=0.01)


def _walked(method: str, probe: str) -> tuple[bytes, list[dict[str, Any]], list[Spectrum]]:
    kept = Kept()
    Loop(_problem(method), METHODS[method](), Budget(iterations=STEPS), PROBES[probe](), kept).run()
    return kept.x, kept.rows, kept.spectra


def _close(found: bytes, expected: bytes, tolerance: float) -> bool:
    x, reference = np.frombuffer(found), np.frombuffer(expected)
    return bool(np.linalg.norm(x - reference) <= tolerance * np.linalg.norm(reference))


@pytest.mark.parametrize(
    ("crew", "method"),
    [pytest.param(2, method, marks=pytest.mark.slow if method in LIKE_BFGS else ()) for method in METHODS]
    + [pytest.param(3, method, marks=() if method in AT_THREE else pytest.mark.slow) for method in METHODS],
    indirect=["crew"],
)
def test_ten_steps_are_those_of_one_process(crew: Crew, method: str) -> None:
    x, rows, _ = _walked(method, "off")
    found = crew(_walked, method, "off")
    assert len({bits for bits, _, _ in found}) == 1, "x differs from rank to rank"
    assert _close(found[0][0], x, 1e-8)
    for mine, theirs in zip(rows, found[0][1], strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            assert theirs[key] == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), key


def test_every_shipped_method_is_among_them() -> None:
    shipped = {path.stem for path in (Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml")}
    assert shipped - METHODS.keys() <= {"adamw"}


@pytest.mark.parametrize("crew", [2, pytest.param(3, marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("probe", ["exact", "lanczos", "density"])
def test_spectra_are_those_of_one_process(crew: Crew, probe: str) -> None:
    _, _, expected = _walked("bfgs", probe)
    for _, _, found in crew(_walked, "bfgs", probe):
        assert [spectrum.step for spectrum in found] == [spectrum.step for spectrum in expected]
        for mine, theirs in zip(expected, found, strict=True):
            scale = np.abs(mine.largest).max()
            for name in ("eigenvalues", "largest", "smallest", "density_nodes"):
                here, there = np.asarray(getattr(mine, name)), np.asarray(getattr(theirs, name))
                assert here.shape == there.shape
                assert np.abs(here - there).max(initial=0.0) <= 1e-6 * scale, name
            assert (mine.negative, mine.products) == (theirs.negative, theirs.products)


def _held() -> tuple[bool, int, float]:
    train = _problem("gd").train
    return isinstance(train, ShardedRisk), train._part.inputs.untyped_storage().nbytes(), float(train.n_examples)


def test_each_rank_keeps_its_own_examples_alone(crew: Crew) -> None:
    found = crew(_held)
    whole = _problem("gd").train.inputs
    assert all(sharded and total == len(whole) for sharded, _, total in found)
    assert sum(held for _, held, _ in found) == whole.numel() * whole.itemsize


def _streamed() -> tuple[list[float], dict[str, float], list[float]]:
    problem = supervised(Wine(in_memory=False), functools.partial(mlp, hidden=[4]), Auto(), chunk_size=20)
    found = problem.train.evaluate(problem.x0)
    batch = problem.minibatch(1, 30).evaluate(problem.x0)
    return found.gradient.tolist(), problem.metrics(problem.x0, found), batch.gradient.tolist()


def test_streamed_examples_are_shared_out_too(crew: Crew) -> None:
    gradient, metrics, batch = _streamed()
    assert len({str(found) for found in crew(_streamed)}) == 1
    there = crew(_streamed)[0]
    assert there[0] == pytest.approx(gradient, rel=1e-12, abs=1e-15)
    assert there[1] == pytest.approx(metrics, rel=1e-12)
    assert there[2] == pytest.approx(batch, rel=1e-12, abs=1e-15)


def _tiny_held_out() -> dict[str, float]:
    problem = supervised(Wine(validation_fraction=0.006), functools.partial(mlp, hidden=[4]), Auto())
    return problem.metrics(problem.x0)


def test_a_held_out_split_of_one_example_is_measured_all_the_same(crew: Crew) -> None:
    assert crew(_tiny_held_out)[0] == pytest.approx(_tiny_held_out(), rel=1e-12)
