"""What the README shows runs as it stands there."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hessrun
from hessrun.cli.cells import expand

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
PYTHON, YAML = ([code for kind, code in BLOCKS if kind == wanted] for wanted in ("python", "yaml"))
COMMANDS = [
    line.partition("#")[0].split()[1:]
    for kind, block in BLOCKS
    for line in block.splitlines()
    if kind == "" and line.startswith("hessrun ")
]


@pytest.mark.parametrize("code", PYTHON)
def test_the_library_examples(code: str) -> None:
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})  # noqa: S102


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("readme")
    (made / "mine.yaml").write_text(
        "{base: [dataset=wine, model=linear], tuning: {trials: 2, seeds: [1000]}, cells: [{optimizer: [sgd, bfgs]}]}"
    )
    return made


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_run(words: list[str], folder: Path) -> None:
    """In the order of the README and in one folder; runs are cut to an iteration without spectra."""
    short = [] if words[0] in ("report", "list", "status", "doctor") else ["budget.iterations=1", "curvature=off"]
    if any("/path/to" in word for word in words):
        short = ["--cfg", "job"]
    done = subprocess.run(
        [sys.executable, "-m", "hessrun", *words, *short], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_parts_of_ones_own(tmp_path: Path) -> None:
    (own,) = [code for code in PYTHON if code.startswith("# mine.py")]
    (parts,) = [text for text in YAML if "parts:" in text]
    (tmp_path / "mine.py").write_text(own)
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "mine.yaml").write_text(parts)
    words = ["--config-dir", "./conf", "optimizer=mine", "budget.iterations=2", "curvature=off"]
    done = subprocess.run(
        [sys.executable, "-m", "hessrun", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    (own,) = [code for code in PYTHON if code.startswith("# nets.py")]
    (tmp_path / "nets.py").write_text(own)
    words = ["model._target_=nets.Net", "+model.width=50", "budget.iterations=2", "curvature=off"]
    done = subprocess.run(
        [sys.executable, "-m", "hessrun", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (manifest,) = tmp_path.rglob("manifest.json")
    assert '"n_parameters": 3760' in manifest.read_text()  # 64 * 50 + 50 + 50 * 10 + 10


def test_the_suite_of_the_readme_expands() -> None:
    (suite,) = [text for text in YAML if "cells:" in text]
    assert len(expand(yaml.safe_load(suite), name="readme")) == 3 * (4 + 2 + 2) - 2


def test_examples_in_docstrings() -> None:
    names = [m.name for m in pkgutil.walk_packages(hessrun.__path__, "hessrun.") if ".conf" not in m.name]
    tried = 0
    for name in ["hessrun", *names]:
        if name.endswith("__main__") or ".cli.sweeper" in name:
            continue
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
        assert result.failed == 0, name
        tried += result.attempted
    assert tried >= 20


def test_every_public_name_exists() -> None:
    for name in hessrun.__all__:
        assert getattr(hessrun, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hessrun.nothing  # noqa: B018
