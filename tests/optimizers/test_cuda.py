"""The methods on CUDA: as on the host, in the memory that they announce, and with few waits for the device."""

import copy
import warnings

import pytest
import torch
from methods import CASES, Case, softmax
from torch import nn

from hessrun.objective.analytic import rosenbrock
from hessrun.optimizers import BFGS, LBFGS
from hessrun.optimizers.inexact_newton import InexactNewton
from hessrun.optimizers.plain import tensors_in
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.problems.problem import Problem

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
DEVICE = "cuda"


def network(device: str) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    return softmax(device=device, model=model)


def valley(n: int) -> AnalyticProblem:
    f = rosenbrock(n, device=DEVICE)
    return AnalyticProblem(f.objective, f.x0, ProblemFacts("rosenbrock", "analytic", n, 1))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_ten_steps_are_those_of_the_host(case: Case) -> None:
    """Where conjugate gradients end is decided by a residual: rounding may add a product, and then a trial."""
    there, here, method = network(DEVICE), network("cpu"), case.method
    on_device, on_host = method.init(there), method.init(here)
    for _ in range(10):
        on_device, on_host = method.step(there, on_device), method.step(here, on_host)
        assert on_device.failure is on_host.failure
        assert (on_device.x.cpu() - on_host.x).norm() <= 1e-4 * on_host.x.norm()
        if on_host.failure is not None:
            break
    if not isinstance(method, InexactNewton):
        assert there.train.counts == here.train.counts
    assert on_device.x.device.type == torch.device(DEVICE).type


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_checkpoint_goes_on_bitwise(case: Case) -> None:
    problem, method = network(DEVICE), case.method
    whole, broken = method.init(problem), method.init(problem)
    for _ in range(6):
        whole = method.step(problem, whole)
        broken = method.step(problem, method.load(copy.deepcopy(method.dump(broken))))
        assert torch.equal(whole.x, broken.x)
        if whole.failure is not None:
            break


def test_bfgs_takes_the_memory_that_it_asks_for() -> None:
    """1.3 matrices [n, n] at the most, also while it folds its updates into the only one."""
    n, method = 6000, BFGS(block=16)
    problem = valley(n)
    ones = torch.ones(64, 64, dtype=torch.float64, device=DEVICE)
    ones @ ones  # the library's own workspace is there before
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    state = method.init(problem)
    for _ in range(20):
        state = method.step(problem, state)
    assert state.memory.base is not None
    assert torch.cuda.max_memory_allocated() - before <= 1.3 * n * n * 8


def test_every_tensor_of_a_state_that_grows_with_n_is_on_the_device() -> None:
    for case in CASES.values():
        problem = network(DEVICE)
        state = case.method.step(problem, case.method.init(problem))
        for tensor in tensors_in(state):
            assert tensor.is_cuda or tensor.shape[-1:] != problem.x0.shape


def test_waits_for_the_device_do_not_depend_on_the_memory_of_lbfgs() -> None:
    def waits(memory: int) -> list[int]:
        problem, method = valley(10), LBFGS(memory=memory)
        state, found = method.init(problem), []
        for _ in range(8):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                torch.cuda.set_sync_debug_mode("warn")
                try:
                    state = method.step(problem, state)
                finally:
                    torch.cuda.set_sync_debug_mode("default")
            synchronised = [w for w in caught if "synchroniz" in str(w.message)]
            found.append(len(synchronised) - state.searched)
        return found[2:]

    few, many = waits(2), waits(80)
    assert set(few) == set(many)
    assert len(set(many)) == 1
