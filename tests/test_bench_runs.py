"""The benchmark of whole runs: a quick run prints its rows, and both loops compute the same."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from bench.runs.__main__ import main

    def printed(*words: str) -> list[str]:
        assert main([*words, "--quick"]) == 0
        return capsys.readouterr().out.splitlines()

    return printed


def holds(lines: list[str], *rows: str) -> None:
    for row in rows:
        assert any(re.search(row, line) for line in lines), f"no row {row!r} in {lines}"


def test_rows_of_the_loops(run, tmp_path) -> None:
    holds(
        run("sgd", "lbfgs", "--fashion-mnist", str(tmp_path)),
        *(rf"^SGD, batch 128, Fashion-MNIST MLP, {dtype} +not measured: no files" for dtype in ("float32", "float64")),
        *(
            rf"^L-BFGS, digits MLP, to torch's loss at 20 iterations: {what} .* torch .* <= 1x"
            for what in ("an evaluation", "an iteration", "evaluations", "seconds")
        ),
    )


@pytest.mark.skipif(not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="no Fashion-MNIST here")
def test_sgd_of_a_run_is_that_of_the_bare_loop(run) -> None:
    lines = run("sgd", "--fashion-mnist", "/usr/share/datasets/fashion-mnist")
    holds(
        lines, *(rf"{dtype}: a step of a recorded run .* bare PyTorch .* <= 1.1x" for dtype in ("float32", "float64"))
    )


@pytest.mark.slow
def test_rows_of_the_start(run) -> None:
    found = run("start")
    holds(found, r"to its first row .* <= 2x", r"to its first step, without spectra .* <= 2x", r"first step  .* <= 2x")
