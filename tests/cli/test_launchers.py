"""Sweeps whose cells other processes run."""

from pathlib import Path

import pytest
from test_command import hessrun

from hessrun.record import find_runs, read_run


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_launcher_runs_the_cells_and_the_record_says_so(tmp_path: Path, launcher: str) -> None:
    words = ["-m", f"hydra/launcher={launcher}", "optimizer=lbfgs,sgd", "model=linear", "dataset.limit=120"]
    done = hessrun(tmp_path, *words, "budget.iterations=3", "curvature=off")
    assert "2 cells: 2 finished" in done.stdout
    assert "on the optimizer's clock" not in done.stdout
    folders = find_runs([tmp_path / "outputs"])
    assert len(folders) == 2
    for folder in folders:
        (warning,) = read_run(folder).manifest["warnings"]
        assert warning.startswith(f"Started by the launcher {launcher}")
