"""`experiment=NAME`: shipped settings that go together, or a folder's name of the user's own."""

import contextlib
import io
from pathlib import Path

import pytest

from hessrun.cli.main import main
from hessrun.record import find_runs, read_run

FEW = ["model=linear", "budget.iterations=1", "curvature=off", "progress=off"]


def command(*words: str) -> tuple[int, str]:
    """The exit code and what was printed on standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = main(list(words))
    return code, said.getvalue()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hessrun.cli import app

    monkeypatch.setattr(app.OUTCOMES, "found", [])
    monkeypatch.setattr(app.OUTCOMES, "expected", 0)
    monkeypatch.chdir(tmp_path)


def test_a_shipped_one_sets_all_it_needs_and_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    assert command("experiment=spiked_wishart", "problem.n=30", "budget.iterations=1", "progress=off") == (0, "")
    (folder,) = find_runs([tmp_path / "outputs" / "spiked_wishart"])
    config = read_run(folder).config
    assert folder.name.startswith("gd-spiked_wishart-")
    assert config["problem"]["n"] == 30
    assert config["curvature"]["kind"] == "exact"


def test_a_name_of_ones_own_is_the_folder_and_nothing_else(tmp_path: Path) -> None:
    assert command(*FEW) == (0, "")
    assert command("experiment=mine", *FEW) == (0, "")
    assert command("experiment='my run'", *FEW) == (0, "")
    found = {folder.parent.name: read_run(folder) for folder in find_runs([tmp_path / "outputs"])}
    assert found.keys() == {"default", "mine", "my run"}
    assert len({run.path.name for run in found.values()}) == 1
    assert found["mine"].config == found["default"].config | {"experiment": "mine"}


def test_a_file_of_the_users_own_is_an_experiment(tmp_path: Path) -> None:
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    (own / "gentle.yaml").write_text("# @package _global_\n# mine\nexperiment: gentle\nseed: 3\n")
    assert command("--config-dir", "conf", "experiment=gentle", *FEW) == (0, "")
    (folder,) = find_runs([tmp_path / "outputs" / "gentle"])
    assert read_run(folder).config["seed"] == 3


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("experiment=edge_of_stabilty", "Did you mean 'edge_of_stability'"),
        ("experiment=", "there is none; choose one of"),
        ("experiment=3", "must be a word: not a number"),
    ],
)
def test_what_is_no_name(tmp_path: Path, word: str, said: str) -> None:
    code, line = command(word, *FEW)
    assert code == 2
    assert said in line
    assert line.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
