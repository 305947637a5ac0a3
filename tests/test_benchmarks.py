"""The two benchmarks: their ratios and counts by hand, a quick run of a section each, slow ones of every row."""

import importlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent

# A word or two of every row that the table must have, peers of bars included.
ROWS = (
    r"BFGS iteration, digits MLP.* scipy BFGS [\d.]+ ms .* >= 100x",
    r"BFGS iteration, digits MLP.* torchmin bfgs [\d.]+ ms .* >= 100x",
    r"beside one product .* <= 2x",
    r"BFGS iteration, .* beside unblocked .* >= 2x",
    r"memory of the state.* <= 1.3x",
    *(
        rf"L-BFGS \({scaling}\) iteration, n = {n}, m = {m};.* torch .* <= 0.5x"
        for scaling in ("diagonal", "every")
        for n in (50, 200)
        for m in (3, 5)
    ),
    r"L-BFGS to torch's loss at 20 iterations, digits MLP: evaluations .* <= 0.95x",
    r"L-BFGS to torch's loss at 20 iterations, digits MLP: seconds .* <= 1x",
    r"L-BFGS to torch's loss at 20 iterations, digits linear: evaluations .* <= 0.95x",
    r"L-BFGS to torch's loss at 20 iterations, digits linear: seconds .* <= 1x",
    r"L-BFGS to torch's loss, Fashion-MNIST MLP .* not measured: no files",
    *(rf"torchmin {method}, 5 iterations" for method in ("newton-cg", "trust-krylov", "trust-ncg")),
    *(
        rf"^{method} to [\d.]+ .*"
        for method in ("NewtonCG", "NewtonCG, products on 50 examples", "NewtonCGLineSearch", "GaussNewton")
    ),
    r"^NewtonTrust to [\d.]+ .*",
    r"^Newton to [\d.]+ .*",
    r"best of ours .* <= 0.5x",
    *(
        rf"^{method}, {case}: solved .* >= \d"
        for method in ("BFGS", "LBFGS", "NewtonTrust")
        for case in ("2 standard starts, tau = 1e-8", "10x the starts", "float32, tau = 1e-4")
    ),
    *(
        rf"^{method}, 2 standard starts, tau = 1e-8: solved"
        for method in (
            *("SSBFGS", "scipy BFGS", "scipy L-BFGS-B", "torch LBFGS", "torchmin bfgs", "torchmin l-bfgs"),
            *("torchmin newton-cg", "torchmin trust-exact"),
        )
    ),
    r"BFGS evaluations / scipy BFGS's, geometric mean of 2 .* <= 1x",
    r"LBFGS evaluations / scipy L-BFGS-B's, geometric mean of 2 .* <= 1x",
    r"order of convergence, Newton.* >= 1.8 +yes",
    r"order of convergence, BFGS.* -> 0 +yes",
    r"order of convergence, gradient descent.* 1 +yes",
    *(
        rf"^gradient, 300 images, {kind} -> {dtype} .* streamed [\d.]+ ms +in memory [\d.]+ ms .*x$"
        for kind in ("uint8", "float32")
        for dtype in ("float32", "float64")
    ),
    r"^peak memory of loading and a gradient, 300 images, uint8 -> float32 ",
    *(
        rf"^2 ranks, 200 examples, .*: {what} .* one rank [\d.]+ ms .* >= 1.7x"
        for what in ("gradient", "product", "L-BFGS")
    ),
)

# The same for the curvature; rows below a heading are looked for on their own.
CURVATURE_ROWS = (
    *(rf"^exact Hessian, digits MLP, hidden layers: {layers}, .* torch.func [\d.]+ ms .* >= 18x" for layers in (1, 2)),
    r"largest difference / largest entry .* <= 1e-06 +yes",
    r"peak memory of a call, in matrices.* <= 4 +yes",
    r"^product beside one gradient, digits MLP, float32.* <= 1.2x",
    r"^product beside one gradient, digits MLP, float64.* <= 1.2x",
    r"batched by 16, per column .* <= 0.85x",
    r"^product beside one gradient, Fashion MLP +not measured: no files",
    r"^product beside one gradient, LeNet.* <= 1.4x",
    r"^product beside one gradient, attention block.* <= 1.6x",
    *(rf"^top 10, digits MLP, .* float32, {when}: worst value .* <= 1e-05 +yes" for when in ("initialised", "trained")),
    r"worst residual of ours .* <= 1e-05 +yes",
    r"beside PyHessian, .* products .* >= 5x",
    r"beside curvlinops\+eigsh, residuals alike .* >= 5x",
    r"beside eigenthings, residuals alike .* >= 2x",
    r"beside eigenthings, values alone right .*x$",
    r"^top 10, Fashion MLP +not measured: no files",
    r"^density, 2 probes x 10 steps, digits MLP.* eigenthings [\d.]+ ms .* >= 4x",
    r"Wasserstein distance to the exact spectrum, mean of 2 seeds.* <= 1x",
    r"^density, Fashion MLP +not measured: no files",
    r"^products, warm-started top 10, every 10 steps, tolerance 0.001 .* cold \d+ .* <= 0.5x",
    r"^products, warm-started top 10, every 10 steps, tolerance 1e-06 .* cold \d+ .* <= 1x",
    r"largest difference of a warm value .* <= 0.002 +yes",
)


@pytest.fixture(autouse=True)
def _scripts_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")


def printed(module: str, *words: str) -> list[str]:
    """The lines of a whole quick table."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_quick_run_prints_every_row_and_draws_the_profile(tmp_path):
    pytest.importorskip("torchmin")
    first, *lines = printed("bench", "--out", str(tmp_path), "--fashion-mnist", str(tmp_path))
    assert re.match(r"\d{4}-\d\d-\d\d: .* CPU, \d+ threads, torch \d.*scipy \d.*pytorch-minimize \d", first)
    for row in ROWS:
        assert any(re.search(row, line) for line in lines), f"no row {row!r} in {lines}"
    for name in ("profile", "profile-10x"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    table = (tmp_path / "more_garbow_hillstrom.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 2 * 11  # starts x problems x methods


@pytest.mark.slow
def test_a_quick_run_of_the_curvature_prints_every_row(tmp_path):
    for peer in ("pyhessian", "curvlinops", "hessian_eigenthings"):
        pytest.importorskip(peer)
    first, *lines = printed("bench.curvature", "--fashion-mnist", str(tmp_path))
    assert re.match(r"\d{4}-\d\d-\d\d: .* CPU, \d+ threads, torch \d.*pyhessian \d.*hessian-eigenthings \d", first)
    for row in CURVATURE_ROWS:
        assert any(re.search(row, line) for line in lines), f"no row {row!r} in {lines}"


@pytest.mark.parametrize(
    ("program", "section", "peer", "rows"),
    [
        ("bench", "order", "torchmin", [row for row in ROWS if row.startswith("order")]),
        ("bench", "streaming", "torchmin", [row for row in ROWS if row.startswith(("^gradient, 300", "^peak memory"))]),
        ("bench.curvature", "exact", "pyhessian", CURVATURE_ROWS[:3]),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_a_quick_run_of_one_section_prints_its_rows(program, section, peer, rows, capsys):
    pytest.importorskip(peer)
    assert importlib.import_module(f"{program}.__main__").main([section, "--quick"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d: .* CPU, \d+ threads, torch \d", first)
    assert len(rows) >= 3
    for row in rows:
        assert any(re.search(row, line) for line in lines), f"no row {row!r} in\n{lines}"


def test_the_cheapest_setting_is_found_in_few_trials():
    from bench.curvature.cheapest import cheapest

    for count in (1, 2, 3, 40):
        settings = list(range(100, 100 + count))
        for first in settings:
            tried = []

            def reaches(setting, first=first, tried=tried):
                tried.append(setting)
                return setting >= first

            assert cheapest(settings, reaches) == first
            assert len(tried) == len(set(tried)) <= 12
        assert cheapest(settings, lambda setting: False) is None


def test_the_truth_has_the_hessian_of_the_function_and_sees_a_repeated_pair():
    """The dense Hessian by finite differences of the gradient, apart from both."""
    from bench.curvature.networks import digits_mlp
    from bench.curvature.peers import Pairs
    from bench.curvature.truth import Truth
    from bench.setting import Setting

    network = digits_mlp(Setting(torch.device("cpu"), True, False, 2, Path("."), Path(".")), torch.float64)
    truth, f = Truth(network), network.function()
    x = torch.nn.utils.parameters_to_vector(network.module.parameters()).detach()
    gradient = torch.func.grad(f)
    steps = 1e-5 * torch.eye(len(x), dtype=x.dtype)
    H = torch.stack([(gradient(x + e) - gradient(x - e)) / 2e-5 for e in steps])
    values, vectors = torch.linalg.eigh(0.5 * (H + H.T))
    assert torch.allclose(truth.eigenvalues, values, rtol=0, atol=1e-8)
    v = x.roll(1)
    assert torch.allclose(truth.product(v), H @ v, rtol=0, atol=1e-7)
    top = truth.top(3, by_magnitude=False)
    assert torch.allclose(top, values[-3:].flip(0), rtol=0, atol=1e-8)
    assert torch.allclose(truth._iterated(3, "LA"), top, rtol=1e-8, atol=0)
    assert max(truth.errors(Pairs(values[-3:], vectors[:, -3:]), top)) < 1e-7
    value_error, residual = truth.errors(Pairs(values[[-1, -1, -2]], vectors[:, [-1, -1, -2]]), top)
    assert residual < 1e-7  # each pair is right
    assert value_error > 0.01  # and one of them stands twice


@pytest.mark.parametrize("name", ["PyHessian", "curvlinops+eigsh", "eigenthings"])
def test_each_peer_finds_the_largest_eigenvalues_where_it_is_given_the_time(name):
    pytest.importorskip("hessian_eigenthings")
    from bench.curvature.networks import digits_mlp, trained
    from bench.curvature.peers import top_peers
    from bench.curvature.truth import Truth
    from bench.setting import Setting

    setting = Setting(torch.device("cpu"), True, False, 2, Path("."), Path("."))
    network = trained(digits_mlp(setting, torch.float64), steps=5)
    truth = Truth(network)
    (peer,) = (peer for peer in top_peers(truth.n, 2) if peer.name == name)
    choice = {"PyHessian": 1e-9, "curvlinops+eigsh": 1e-9, "eigenthings": 60}[name]
    value_error, residual = truth.errors(peer.find(network, 2, choice), truth.top(2, by_magnitude=peer.by_magnitude))
    assert value_error < 1e-4  # PyHessian's vectors are short by up to 1e-6 of lambda
    assert residual < 1e-3
    assert all(parameter.grad is None for parameter in network.module.parameters())


def test_the_distance_of_a_density_is_that_of_its_nodes():
    from bench.curvature.density import distance

    exact = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    quarter = torch.full((1, 4), 0.25)
    assert distance(exact[None], quarter, exact) == pytest.approx(0, abs=1e-15)
    # All of the weight moves by 0.5, over a range of 4; a node without weight counts for nothing.
    nodes = torch.cat([exact + 0.5, torch.tensor([math.nan])])[None]
    assert distance(nodes, torch.cat([quarter, torch.zeros(1, 1)], 1), exact) == pytest.approx(0.125)


@pytest.mark.parametrize(("patience", "rounds"), [(0.0, 3), (60.0, 15)])
def test_turns_change_who_is_first_and_report_medians(monkeypatch, patience, rounds):
    from bench import timing
    from bench.setting import Setting

    called = []
    setting = Setting(torch.device("cpu"), False, False, 2, Path("."), Path("."))
    monkeypatch.setattr(timing, "_PATIENCE", patience)
    found = timing.in_turns(setting, {"a": lambda: called.append("a"), "b": lambda: called.append("b")})
    assert "".join(called) == "ab" + "".join(("ab", "ba")[turn % 2] for turn in range(rounds))
    assert found.keys() == {"a", "b"}
    assert all(seconds >= 0 for seconds in found.values())


def test_a_bar_is_held_at_its_limit_and_missed_beyond_it():
    from bench.table import Row

    assert Row.at_most("a", "1", "2", 0.5, 0.5).holds is True
    assert Row.at_most("a", "1", "2", 0.5001, 0.5).holds is False
    assert Row.at_most("a", "1", "2", math.nan, 0.5).holds is False
    assert Row.at_least("a", "1", "2", 100.0, 100).holds is True
    assert Row.at_least("a", "1", "2", 99.0, 100).holds is False
    assert Row.count("a", 23, "", 24, 24).holds is False
    assert Row.within("a", 4.0, 4).holds is True
    assert Row.within("a", math.nan, 4).holds is False
    assert Row.not_measured("a", "why").holds is None
    assert str(Row.at_most("what", "1 ms", "torch 4 ms", 0.25, 0.5)).split() == (
        ["what", "1", "ms", "torch", "4", "ms", "0.25x", "<=", "0.5x", "yes"]
    )
    assert str(Row.at_most("what", "-", "", math.inf, 0.5)).endswith("NO")


def test_means_and_medians_of_ratios():
    from bench.table import geometric_mean, median_ratio, ratios_where_both

    assert geometric_mean([2.0, 0.5]) == pytest.approx(1, rel=1e-15)
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4, rel=1e-15)
    assert math.isnan(geometric_mean([]))
    # The median of the ratios, not the ratio of the medians: 1/10, 4/2, 9/3.
    assert median_ratio([1.0, 4.0, 9.0], [10.0, 2.0, 3.0]) == 2
    assert median_ratio([1.0, math.inf, math.inf], [1.0, 1.0, 1.0]) == math.inf
    assert ratios_where_both({"a": 2, "b": None, "c": 9}, {"a": 4, "b": 1, "c": None}) == [0.5]


def test_performance_ratios_are_costs_over_the_least_cost_of_each_problem():
    from bench.profile import performance_ratios, share_within

    costs = {"x": {"p": 10, "q": 30, "r": None}, "y": {"p": 20, "q": 10, "r": None}}
    ratios = performance_ratios(costs)
    assert ratios == {"x": [1, 3, math.inf], "y": [1, 2, math.inf]}
    assert [share_within(ratios["x"], tau) for tau in (1, 2, 3, 1e9)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_the_estimated_order_is_that_of_the_sequence():
    from bench.order import estimated_order, mean_rate

    assert estimated_order([1e-1, 1e-2, 1e-4, 1e-8]) == pytest.approx(2)
    assert estimated_order([0.5**k for k in range(9)]) == pytest.approx(1)
    assert mean_rate([1.0, 0.5, 0.25]) == pytest.approx(0.5)
    assert math.isnan(estimated_order([1.0, 0.1]))


def test_evaluations_until_solved_are_those_that_scipy_made_until_then():
    """Counted apart: scipy alone on the same function, and the first of its values below the target."""
    import scipy.optimize
    from bench.evaluations_to_solve import scipy_method

    from hessrun.objective.more_garbow_hillstrom import more_garbow_hillstrom

    problem = more_garbow_hillstrom("wood")
    values = []

    def f(x):
        found = problem.objective.evaluate(torch.from_numpy(x.copy()))
        values.append(found.value.item())
        return values[-1], found.gradient.numpy()

    scipy.optimize.minimize(f, problem.x0.numpy(), jac=True, method="BFGS", options={"gtol": 1e-12})
    by_hand = next(k for k, value in enumerate(values, start=1) if value <= 1e-8 * values[0])
    method = scipy_method("BFGS")
    assert method.evaluations(problem, tau=1e-8, limit=3000) == by_hand
    assert method.evaluations(problem, tau=1e-8, limit=by_hand) == by_hand
    assert method.evaluations(problem, tau=1e-8, limit=by_hand - 1) is None


def test_the_timed_stretches_hold_whole_blocks_and_the_matrix():
    from bench.dense import Stepping
    from bench.networks import digits
    from bench.setting import Setting

    setting = Setting(torch.device("cpu"), True, False, 2, Path("."), Path("."))
    network = digits(setting, [])
    stepping = Stepping(network.problem(), setting)
    assert stepping.state.memory.base is not None  # the stretches that count read a matrix
    assert stepping.state.memory.count == 1
    stepping.stretch()
    assert stepping.state.memory.count == 1  # a whole number of blocks further on
    assert stepping.steps == 25  # about the square root of 650 parameters
    assert stepping.evaluations >= 25


def test_the_cheap_objective_has_the_gradient_of_its_value():
    from bench.lbfgs_free import DiagonalQuadratic

    f = DiagonalQuadratic(7, torch.device("cpu"))
    x = torch.linspace(1, 2, 7, dtype=torch.float64)
    a = 10.0 ** torch.linspace(0, -8, 7, dtype=torch.float64)
    found = f.evaluate(x)
    assert found.value.item() == pytest.approx(0.5 * (a * x * x).sum().item(), rel=1e-14)
    assert torch.allclose(found.gradient, a * x, rtol=1e-14, atol=0)


def test_a_missing_peer_is_named_with_the_package_to_install(monkeypatch, capsys):
    from bench.__main__ import main

    monkeypatch.setitem(sys.modules, "torchmin", None)
    assert main(["bfgs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install pytorch-minimize" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["lbfgs"], "lbfgs: no such section; there are bfgs, bfgs-large"), (["--seeds", "0"], "must be 1 or above")],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, said, capsys):
    from bench.__main__ import main

    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_missing_peer_of_the_curvature_and_a_wrong_section_are_named(monkeypatch, capsys):
    from bench.curvature.__main__ import main

    monkeypatch.setitem(sys.modules, "pyhessian", None)
    assert main(["exact"]) == 2
    assert main(["spectra"]) == 2
    missing, unknown = capsys.readouterr().err.splitlines()
    assert "pip install pyhessian" in missing
    assert "spectra: no such section; there are exact, products, top" in unknown
