"""The wheel carries everything: built, installed without dependencies elsewhere, run from a foreign folder."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "hessrun").rglob("__init__.py")
        if "sweeper" not in path.parts
    }
    assert found | {"hessrun.conf", "hydra_plugins.hessrun_sweeper"} == listed


def test_the_wheel_runs_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert "hessrun/conf/config.yaml" in names
    assert "hessrun/report/templates/page.html" in names
    assert "hydra_plugins/hessrun_sweeper/sweeper.py" in names
    there = tmp_path / "there"
    there.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import hessrun, sys; from hessrun.cli.main import main; print(hessrun.__file__); sys.exit(main())",
            *["-m", "optimizer=lbfgs,gd", "model=linear", "budget.iterations=2", "curvature=off"],
        ],
        cwd=there,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "2 cells: 2 finished" in done.stdout
    assert [p.name for p in there.iterdir()] == ["outputs"]
