"""What is said of a quasi-Newton matrix, against dense matrices, and in the rows of a run."""

import pytest
import torch
from known import Known

import hessrun
from hessrun.curvature import diagnose
from hessrun.errors import OptionError
from hessrun.linalg.broyden_family import Update
from hessrun.linalg.quasi_newton_matrix import QuasiNewtonMatrix
from hessrun.objective import as_objective
from hessrun.objective.analytic import quadratic
from hessrun.optimizers import BFGS, LBFGS, SR1
from hessrun.problems import AnalyticProblem, ProblemFacts
from hessrun.run import Loop, Probe
from hessrun.run.minimize import _Collector

f = quadratic(6, condition_number=10.0).objective
x = torch.ones(6, dtype=torch.float64)
A = f.hessian(x)
here = f.evaluate(x)
s = torch.linspace(1, 2, 6, dtype=torch.float64)
EXACT = {True: torch.linalg.inv(A), False: A}


@pytest.mark.parametrize("is_inverse", [True, False])
def test_the_true_matrix_has_no_fault(is_inverse):
    found = diagnose(f, here, Known(EXACT[is_inverse]), is_inverse=is_inverse, learned=[s, A @ s])
    assert found.pop("smallest_matrix_eigenvalue") == pytest.approx(1.0 if is_inverse else 0.1, rel=1e-10)
    assert set(found) == {"direction_error", "secant_residual", "symmetry_error", "hessian_distance"}
    assert max(found.values()) < 1e-12


def test_the_change_of_the_newest_update_is_that_of_the_dense_matrix():
    matrix = QuasiNewtonMatrix.identity(x, block=3)
    a, b = torch.linspace(-1, 1, 6, dtype=torch.float64), s
    for count in range(1, 6):
        before = matrix.dense()
        matrix.update(a * count, b, Update(1.0, 0.3, -0.1, 0.2))
        change = diagnose(f, here, matrix, is_inverse=True).get("matrix_change")
        if count == 3:  # just folded in
            assert change is None
        else:
            assert change == pytest.approx(float((matrix.dense() - before).norm() / before.norm()))
    matrix.update(a, b, Update(2.0, 0.3, 0.0, 0.0))
    matrix.restart(1.0)
    assert "matrix_change" not in diagnose(f, here, matrix, is_inverse=True)


def test_a_matrix_that_was_scaled_has_no_change_to_tell():
    matrix = QuasiNewtonMatrix.identity(x, block=3)
    matrix.update(x, s, Update(2.0, 0.3, 0.0, 0.0))
    assert "matrix_change" not in diagnose(f, here, matrix, is_inverse=True)


@pytest.mark.parametrize("is_inverse", [True, False])
def test_each_fault_is_measured(is_inverse):
    skew = torch.zeros(6, 6, dtype=torch.float64)
    skew[0, 1] = 0.3
    M = 2 * EXACT[is_inverse] + skew
    found = diagnose(f, here, Known(M), is_inverse=is_inverse, learned=[s, A @ s])
    assert found["symmetry_error"] == pytest.approx(0.3 * 2**0.5 / float(M.norm()))
    symmetric = 0.5 * (M + M.T)
    assert found["smallest_matrix_eigenvalue"] == pytest.approx(float(torch.linalg.eigvalsh(symmetric)[0]))
    B = torch.linalg.inv(symmetric) if is_inverse else M
    assert found["hessian_distance"] == pytest.approx(float((B - A).norm() / A.norm()), rel=1e-6)
    a, b = (A @ s, s) if is_inverse else (s, A @ s)
    assert found["secant_residual"] == pytest.approx(float((M @ a - b).norm() / b.norm()))
    g = here.gradient
    p, Bp = (M @ g, g) if is_inverse else (g, M @ g)
    assert found["direction_error"] == pytest.approx(float((A @ p - Bp).norm() / Bp.norm()))


def test_large_matrices_are_judged_by_products():
    found = diagnose(f, here, Known(EXACT[True]), is_inverse=True, learned=None, dense_limit=5)
    assert set(found) == {"direction_error", "symmetry_error", "smallest_matrix_eigenvalue"}
    assert found["smallest_matrix_eigenvalue"] == pytest.approx(1.0, abs=0.1)
    assert found["symmetry_error"] < 1e-14


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


X0 = torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("method", [BFGS, LBFGS, SR1])
def test_a_run_records_it_at_every_row_and_changes_nothing(method):
    budget = hessrun.Budget(iterations=60, gradient_tolerance=1e-8)
    plain = hessrun.minimize(rosenbrock, X0, optimizer=method(), budget=budget)
    told = hessrun.minimize(rosenbrock, X0, optimizer=method(diagnose=True), budget=budget)
    assert torch.equal(plain.x, told.x)
    assert plain.counts == told.counts
    last = told.trace[-1]
    assert last["secant_residual"] < 1e-6
    assert last["symmetry_error"] < 1e-12
    assert last["hessian_distance"] < told.trace[1]["hessian_distance"]
    if method is not SR1:
        assert all(row["smallest_matrix_eigenvalue"] > 0 for row in told.trace)
    assert "hessian_distance" not in plain.trace[-1]


def test_the_probe_asks_where_it_looks():
    budget, probe = hessrun.Budget(iterations=6), hessrun.Probe(quasi_newton=True)
    found = hessrun.minimize(rosenbrock, X0, optimizer=BFGS(), budget=budget, probe=probe)
    assert [row["step"] for row in found.trace if "hessian_distance" in row] == [0, 1, 2, 4, 6]


def test_the_direction_error_vanishes_where_bfgs_converges_superlinearly():
    """Dennis and Moré's condition."""
    found = hessrun.minimize(
        rosenbrock, X0, optimizer=BFGS(diagnose=True), budget=hessrun.Budget(iterations=200, gradient_tolerance=1e-10)
    )
    errors = [row["direction_error"] for row in found.trace]
    assert min(errors[-4:]) < 0.02 * max(errors)


def test_what_the_probe_asks_has_a_row_of_its_own_however_seldom_rows_are_made():
    objective = as_objective(rosenbrock, X0)
    problem = AnalyticProblem(objective, X0, ProblemFacts("f", "analytic", 3, 1))
    collector = _Collector(None)
    Loop(problem, BFGS(), hessrun.Budget(iterations=11), Probe(quasi_newton=True), collector, log_every=5).run()
    assert [row["step"] for row in collector.rows] == [0, 1, 2, 4, 5, 8, 10, 11]
    assert [row["step"] for row in collector.rows if "hessian_distance" in row] == [0, 1, 2, 4, 8, 11]


def test_a_probe_that_looks_at_nothing_cannot_be_asked():
    with pytest.raises(OptionError, match="choose another kind"):
        Probe(kind="off", quasi_newton=True)
