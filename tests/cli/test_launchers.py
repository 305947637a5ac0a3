"""Sweeps whose cells other processes run."""

import importlib.util
from pathlib import Path

import pytest
from test_command import hessrun

from hessrun.cli.side_by_side import cores, side_by_side, with_shared_threads
from hessrun.record import find_runs, read_run

HAS_RAY = importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is not None
RAY = [pytest.mark.slow, pytest.mark.skipif(not HAS_RAY, reason="the extra `ray` is not installed")]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", pytest.param("ray", marks=RAY)])
def test_a_launcher_runs_the_cells_and_the_record_says_so(tmp_path: Path, launcher: str) -> None:
    words = ["-m", f"hydra/launcher={launcher}", "optimizer=lbfgs,sgd", "model=linear", "dataset.limit=120"]
    done = hessrun(tmp_path, *words, "budget.iterations=3", "curvature=off", "progress=on")
    assert "sweep: 2 of 2 cells" in done.stderr
    assert "2 cells: 2 finished" in done.stdout
    assert "on the optimizer's clock" not in done.stdout
    folders = find_runs([tmp_path / "outputs"])
    assert len(folders) == 2
    for folder in folders:
        run = read_run(folder)
        assert run.manifest["concurrent"] is True
        assert run.manifest["threads"] == run.config["threads"] == max(1, cores() // 2)
        (warning,) = run.manifest["warnings"]
        assert warning.startswith(f"Started by the launcher {launcher}")


@pytest.mark.parametrize(
    ("target", "more", "cells", "expected"),
    [
        ("hydra._internal.core_plugins.basic_launcher.BasicLauncher", {}, 9, 1),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", {"n_jobs": 3}, 9, 3),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", {"n_jobs": 3}, 2, 2),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", {"n_jobs": -1}, 999, cores()),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher", {}, 9, 9),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", {}, 9, None),
        ("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", {}, 1, 1),
        ("mine.Launcher", {}, 9, None),
    ],
)
def test_how_many_cells_run_at_once(target: str, more: dict, cells: int, expected: int | None) -> None:
    assert side_by_side({"_target_": target, **more}, cells) == expected


def test_threads_are_shared_out_unless_they_are_said() -> None:
    cells = [["optimizer=sgd"], ["optimizer=sgd", "threads=5"]]
    assert with_shared_threads(cells, None) == with_shared_threads(cells, 1) == cells
    assert with_shared_threads(cells, 10**6) == [["optimizer=sgd", "threads=1"], cells[1]]
    assert with_shared_threads(cells, 2)[0][1] == f"threads={max(1, cores() // 2)}"
