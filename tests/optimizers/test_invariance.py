"""What must not matter: the unit of f, and the coordinates of x where a method knows no preferred ones."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from methods import CASES, KINDS, Case, Kind, analytic
from torch import Tensor

from hessrun.linalg import host
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix
from hessrun.objective import as_objective
from hessrun.optimizers import (
    BFGS,
    DFP,
    LBFGS,
    SR1,
    SSBFGS,
    Broyden,
    Newton,
    NewtonCG,
    NewtonCGLineSearch,
    NewtonTrust,
    Optimizer,
)
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.run import Budget, Loop, Probe
from hessrun.run.minimize import _Collector

SCALE_FREE = {name: case for name, case in CASES.items() if case.is_scale_free}
every_scale_free = pytest.mark.parametrize("case", SCALE_FREE.values(), ids=SCALE_FREE)
VALLEY = KINDS["rosenbrock"]
EIGENVALUES = torch.logspace(-2, 0, 8, dtype=torch.float64)
# Its minimiser is not 0, so that what is left of f at the end is rounding and no number that underflows.
QUADRATIC = Kind(
    lambda x: 0.5 * ((x - 1.7).square() * EIGENVALUES.to(x)).sum(-1), (3.0, -1.0, 2.0, 0.5, -4.0, 1.0, 7.0, -2.0)
)


def path(method: Optimizer, problem: AnalyticProblem, steps: int) -> list[Tensor]:
    """x after every step, until the method ends."""
    state, found = method.init(problem), []
    for _ in range(steps):
        state = method.step(problem, state)
        found.append(state.x)
        if state.failure is not None or not (state.evaluation is None or state.evaluation.is_finite()):
            break
    return found


@every_scale_free
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(VALLEY, torch.float64, id="rosenbrock"),
        pytest.param(QUADRATIC, torch.float32, id="quadratic_float32"),
        pytest.param(KINDS["log_domain"], torch.float64, id="log_domain", marks=pytest.mark.slow),
        pytest.param(VALLEY, torch.float32, id="rosenbrock_float32", marks=pytest.mark.slow),
        pytest.param(QUADRATIC, torch.float64, id="quadratic", marks=pytest.mark.slow),
        pytest.param(KINDS["log_domain"], torch.float32, id="log_domain_float32", marks=pytest.mark.slow),
    ],
)
def test_a_power_of_two_on_f_changes_no_bit_of_x(case: Case, kind: Kind, dtype: torch.dtype) -> None:
    plain = path(case.method, analytic(kind, case, dtype=dtype), 16)
    for power in (-26, 26):
        scaled = path(case.method, analytic(kind, case, dtype=dtype, factor=2.0**power), 16)
        assert len(scaled) == len(plain)
        assert all(torch.equal(a, b) for a, b in zip(plain, scaled, strict=True))


@every_scale_free
@pytest.mark.parametrize(
    "kind",
    [pytest.param(VALLEY, id="rosenbrock"), pytest.param(QUADRATIC, id="quadratic", marks=pytest.mark.slow)],
)
def test_any_factor_on_f_leaves_status_and_iterations(case: Case, kind: Kind) -> None:
    def ended(factor: float):
        budget = Budget(iterations=200, gradient_tolerance=1e-5)
        problem = analytic(kind, case, factor=factor)
        return Loop(problem, case.method, budget, Probe(kind="off"), _Collector(None)).run()

    plain = ended(1.0)
    for factor in (1e-8, 1e8):
        scaled = ended(factor)
        assert scaled.status is plain.status
        assert abs(scaled.steps - plain.steps) <= max(1, 0.1 * plain.steps)


def smooth(x: Tensor) -> Tensor:
    """Strictly convex, no quadratic, and its Hessian is full: sum_i exp(a_i'x) + exp(-a_i'x) + |x|^2 / 2."""
    rows = torch.randn(8, len(x), generator=torch.Generator().manual_seed(5), dtype=x.dtype) / len(x) ** 0.5
    return 2 * torch.cosh(rows @ x).sum() + 0.5 * x.square().sum()


N = 6
START = torch.linspace(-2, 3, N, dtype=torch.float64)


def in_coordinates(A: Tensor, f: Callable[[Tensor], Tensor] = smooth) -> AnalyticProblem:
    """z -> f(A z) from the same point x = A z."""
    z0 = torch.linalg.solve(A, START)
    return AnalyticProblem(as_objective(lambda z: f(A @ z), z0), z0, ProblemFacts("f", "analytic", N, 1))


def general() -> Tensor:
    A = torch.randn(N, N, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return A + 3 * torch.eye(N, dtype=torch.float64)


def rotation() -> Tensor:
    return torch.linalg.qr(general())[0]


def signed_permutation() -> Tensor:
    signs = torch.tensor([1.0, -1, 1, 1, -1, -1], dtype=torch.float64)
    return torch.diag(signs)[:, [3, 0, 5, 1, 4, 2]]


def assert_maps(xs: list[Tensor], zs: list[Tensor], A: Tensor, *, to: float = 1e-6) -> None:
    """Every iterate, up to where both stand at the minimiser 0 but for rounding, relative to the way so far."""
    assert len(xs) >= 5
    for x, z in zip(xs, zs, strict=False):
        assert (A @ z - x).norm() <= to * max(1.0, float(x.norm()))


def test_plain_newton_knows_no_coordinates() -> None:
    method = Newton(modification="none")
    A = general()
    identity = torch.eye(N, dtype=torch.float64)
    assert_maps(path(method, in_coordinates(identity), 8), path(method, in_coordinates(A), 8), A, to=1e-10)


def mapped_path(method: Optimizer, A: Tensor, steps: int) -> list[Tensor]:
    """From H0 = A^-1 A^-T, which is what I is in the coordinates z = A^-1 x."""
    problem = in_coordinates(A)
    state = method.init(problem)
    inverse = torch.linalg.inv(A)
    memory = QuasiNewtonMatrix.identity(problem.x0, block=method.block)
    memory.base = inverse @ inverse.T
    state = method.refresh(problem, dataclasses.replace(state, memory=memory))
    found = []
    for _ in range(steps):
        state = method.step(problem, state)
        found.append(state.x)
    return found


@pytest.mark.parametrize(
    "method", [BFGS(), BFGS(block=3), DFP(), Broyden(), SSBFGS(), BFGS(low_curvature="damp")], ids=repr
)
def test_the_broyden_class_knows_no_coordinates_but_those_of_its_first_matrix(method: Optimizer) -> None:
    A = general()
    identity = torch.eye(N, dtype=torch.float64)
    assert_maps(mapped_path(method, identity, 15), mapped_path(method, A, 15), A)


@pytest.mark.parametrize(
    "method",
    [
        BFGS(),
        DFP(),
        Broyden(),
        SSBFGS(),
        SR1(),
        LBFGS(initial_scaling="every"),
        LBFGS(initial_scaling="first", memory=4),
        Newton(),
        Newton(modification="shift"),
        Newton(modification="clip"),
        NewtonTrust(),
        # Their forcing term goes by the largest component of the gradient, which a rotation changes: here it is fixed.
        NewtonCG(forcing=1e-8),
        NewtonCGLineSearch(forcing=1e-8),
    ],
    ids=repr,
)
def test_a_rotation_of_x_rotates_the_path(method: Optimizer) -> None:
    Q = rotation()
    identity = torch.eye(N, dtype=torch.float64)
    assert_maps(path(method, in_coordinates(identity), 15), path(method, in_coordinates(Q), 15), Q)


@pytest.mark.parametrize("method", [LBFGS(), NewtonCG(), NewtonCGLineSearch()], ids=repr)
def test_the_order_and_the_signs_of_the_parameters_do_not_matter(method: Optimizer) -> None:
    P = signed_permutation()
    identity = torch.eye(N, dtype=torch.float64)
    assert_maps(path(method, in_coordinates(identity), 15), path(method, in_coordinates(P), 15), P)


class HostReads:
    """Counts what waits for a device: numbers read by Python from a tensor, with all tensors taken for a device's."""

    NAMES = ("cpu", "tolist", "item", "__float__", "__int__", "__bool__")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(host, "_is_on_host", lambda tensor: False)
        for name in self.NAMES:
            monkeypatch.setattr(Tensor, name, self._counted(getattr(Tensor, name)))

    def _counted(self, read):
        def counted(tensor, *args, **kwargs):
            self.count += 1
            return read(tensor, *args, **kwargs)

        return counted


def reads_of_a_step(method: Optimizer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each step, less those of the line search, which reads twice before its first trial's end and once a trial."""
    problem = in_coordinates(torch.eye(N, dtype=torch.float64))
    state = method.init(problem)
    found = []
    with monkeypatch.context() as patched:
        reads = HostReads(patched)
        for _ in range(25):
            before = reads.count
            state = method.step(problem, state)
            found.append(reads.count - before - state.searched - 1)
            if state.failure is not None or float(state.here.gradient.abs().amax()) < 1e-8:
                break
    return found


@pytest.mark.parametrize(("scaling", "most"), [("every", 1), ("first", 1), ("none", 1), ("diagonal", 2)])
def test_host_reads_of_an_lbfgs_iteration_do_not_depend_on_the_memory(
    monkeypatch: pytest.MonkeyPatch, scaling: str, most: int
) -> None:
    for memory in (1, 3, 10, 80):
        found = reads_of_a_step(LBFGS(memory=memory, initial_scaling=scaling), monkeypatch)
        assert len(found) >= 6
        assert set(found[1:]) == {most}  # the first also reads the scale of x


def test_host_reads_of_a_bfgs_iteration_do_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reads_of_a_step(BFGS(), monkeypatch)
    assert set(found[1:]) == {1}
