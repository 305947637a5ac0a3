"""`hessrun spectrum`: of a run's points and of a problem's start, beside a dense Hessian; refusals are one line."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hessrun.cli.main import main
from hessrun.cli.points import point_of_run
from hessrun.record import Spectrum, find_runs

PROBLEM = ("model=mlp", "model.hidden=[4]", "dataset.limit=150", "dtype=float64")
N = 310  # 64 x 4 + 4 + 4 x 10 + 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("runs")
    assert main(["optimizer=bfgs", *PROBLEM, "budget.iterations=6", f"outputs={outputs}"]) == 0
    (folder,) = find_runs([outputs])
    return folder


@pytest.fixture(scope="module")
def exact(run: Path) -> Spectrum:
    """Without --out it lies in the run's own folder."""
    assert main(["spectrum", str(run)]) == 0
    (path,) = (run / "spectrum").glob("spectrum-000006-hessian-exact.npz")
    return Spectrum.load(path)


def _taken(out: Path, *words: str) -> Spectrum:
    """The spectrum that the command wrote, with its figures, into `out`."""
    assert main(["spectrum", *words, "--out", str(out)]) == 0
    (path,) = out.glob("*.npz")
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in path.with_suffix(".svg").read_text(encoding="utf-8")
    return Spectrum.load(path)


@cache
def _dense(run: Path, step: int | None) -> np.ndarray:
    """The Hessian at a kept point: central differences of gradients, a column for each parameter."""
    point = point_of_run(run, step)
    columns = []
    for i in range(N):
        e = torch.zeros_like(point.x)
        e[i] = 1e-5
        above, below = (point.objective.evaluate(x).gradient for x in (point.x + e, point.x - e))
        columns.append((above - below) / 2e-5)
    H = torch.stack(columns)
    return (0.5 * (H + H.T)).numpy()


def test_by_default_all_eigenvalues_at_the_newest_point(run, tmp_path, capsys):
    found = _taken(tmp_path, str(run))
    assert (found.step, found.kind, found.matrix, found.n) == (6, "exact", "hessian", N)
    assert np.allclose(np.sort(found.eigenvalues), np.linalg.eigvalsh(_dense(run, None)), rtol=0, atol=1e-7)
    shown = capsys.readouterr().out
    assert f"hessian of {run.name} at step 6" in shown
    assert f"{found.largest[0]:.6g}" in shown
    assert "all eigenvalues, by a dense solver in float64" in shown


def test_a_step_names_an_earlier_point(run, tmp_path):
    found = _taken(tmp_path, str(run), "--step", "0")
    assert found.step == 0
    assert np.allclose(np.sort(found.eigenvalues), np.linalg.eigvalsh(_dense(run, 0)), rtol=0, atol=1e-7)


def test_overrides_name_the_start_that_a_run_has(run, tmp_path):
    start = _taken(tmp_path / "start", *PROBLEM)
    assert np.allclose(np.sort(start.eigenvalues), np.linalg.eigvalsh(_dense(run, 0)), rtol=0, atol=1e-7)


def test_the_gauss_newton_matrix_is_positive_semidefinite(run, tmp_path):
    found = _taken(tmp_path, str(run), "--kind", "gauss_newton")
    assert found.matrix == "gauss_newton"
    assert found.negative == 0
    assert found.eigenvalues.min() > -1e-12 * found.eigenvalues.max()
    assert abs(found.largest[0] - np.linalg.eigvalsh(_dense(run, None))[-1]) > 1e-6  # it is not the Hessian


def test_lanczos_finds_the_ends_of_the_exact_spectrum(run, exact, tmp_path):
    ends = _taken(tmp_path / "ends", str(run), "--method", "lanczos", "--k", "3")
    assert ends.kind == "lanczos"
    assert ends.products > 0
    ordered = np.sort(exact.eigenvalues)
    assert np.allclose(ends.largest, ordered[::-1][:3], rtol=1e-5, atol=0)
    assert np.allclose(ends.smallest, ordered[:3], rtol=1e-5, atol=0)


def test_a_density_keeps_within_the_ends_and_has_their_mean(run, exact, tmp_path):
    found = _taken(tmp_path / "density", str(run), "--method", "density")
    assert found.kind == "density"
    values = exact.eigenvalues
    slack = 1e-6 * values.max()
    nodes = found.density_nodes[found.density_weights > 0]
    assert nodes.min() >= values.min() - slack
    assert nodes.max() <= values.max() + slack
    means = (found.density_nodes * found.density_weights).sum(1)
    # For v uniform on the unit sphere the variance of v'Hv is below 2 |H|_F^2 / n^2.
    error = np.sqrt(2 * (values**2).sum()) / N / np.sqrt(len(means))
    assert abs(means.mean() - values.mean()) < 4 * error


def test_layers_restrict_the_hessian_to_a_block(run, tmp_path):
    found = _taken(tmp_path, str(run), "--layers", "*bias")
    biases = np.r_[256:260, 300:310]
    block = _dense(run, None)[np.ix_(biases, biases)]
    assert found.n == 14
    assert np.allclose(np.sort(found.eigenvalues), np.linalg.eigvalsh(block), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("no/such/folder", "no/such/folder: there is no such folder."),
        (".", ".: holds no run"),
        ("", "takes one run"),
        ("RUN --step 5000", "--step 5000: this run kept no point there; it has 0, "),
        ("RUN --step x", "--step x: must be a whole number, 0 or above"),
        ("RUN --layers conv*", "No parameter matches 'conv*'; there are "),
        ("RUN --kind fisher", "gauss_newton"),
        ("RUN --method power", "auto, exact, lanczos, density"),
        ("RUN --method lanczos --k 311", "--k 311: there are only 310 eigenvalues."),
        ("RUN --method exact --k 3", "--k 3: how many at each end, is for --method lanczos"),
        ("RUN --method density --k 3", "--k 3: how many at each end, is for --method lanczos"),
        ("RUN --k 0", "--k 0: must be a whole number, 1 or above"),
        ("RUN --knd hessian", "Did you mean '--kind'?"),
        ("RUN --step", "--step: needs a value"),
        ("model=mlp --step 3", "--step 3: overrides name a problem's start"),
        ("model=mpl", "Did you mean 'mlp'?"),
    ],
)
def test_a_refusal_is_one_line(run, words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _refused([str(run) if word == "RUN" else word for word in words.split()], said, capsys)
    assert not list(tmp_path.iterdir())


def test_a_hessian_that_does_not_fit_is_refused_with_the_methods_that_do(run, capsys, monkeypatch):
    monkeypatch.setattr("hessrun.linalg.memory.available_bytes", lambda device: 10_000)
    _refused([str(run), "--method", "exact"], "--method lanczos or --method density", capsys)


def test_a_run_that_kept_no_points_is_refused(run, tmp_path, capsys):
    bare = tmp_path / run.name
    shutil.copytree(run, bare)
    (bare / "checkpoint.pt").unlink()
    shutil.rmtree(bare / "points")
    _refused([str(bare)], "keeps no point", capsys)


def _refused(words, said, capsys):
    capsys.readouterr()
    assert main(["spectrum", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("hessrun: ")
    assert said in line
