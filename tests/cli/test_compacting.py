"""`hessrun compact` from the command line: where records go, what is refused, what is said."""

import pytest

from hessrun.cli.main import main
from hessrun.record import RunWriter, find_runs, read_run
from hessrun.record.lock import FolderLock


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/one", "b/two"):
        manifest = {"run_id": name, "optimizer": {"name": "gd"}}
        with RunWriter(tmp_path / "outputs" / name, config="seed: 0\n", manifest=manifest) as writer:
            for step in range(100):
                writer.row({"step": step, "train_loss": 1 / (1 + step)})
            writer.status(state="finished", status="converged", reason="Done.")
    return tmp_path


def _names(folder):
    return [path.relative_to(folder).as_posix() for path in find_runs([folder])]


def test_records_lie_as_they_did_and_again_changes_nothing(runs, capsys):
    assert main(["compact", "outputs", "--out", "outputs/small"]) == 0
    assert _names(runs / "outputs" / "small") == ["a/one", "b/two"]
    said = capsys.readouterr().out
    assert said.startswith("2 runs: ")
    assert main(["compact", "outputs", "--out=outputs/small"]) == 0
    assert capsys.readouterr().out == said


def test_one_run_thinned(runs, capsys):
    assert main(["compact", "outputs/a/one", "--out", "small", "--rows", "12"]) == 0
    assert _names(runs / "small") == ["one"]
    assert len(read_run(runs / "small" / "one").trace) < 40
    assert capsys.readouterr().out.startswith("1 run: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "it takes: hessrun compact RUNS"),
        (["outputs"], "it takes"),
        (["outputs", "--out", "small", "--rows", "few"], "a whole number, got 'few'"),
        (["outputs", "--out", "small", "--rows", "1"], "at least 2"),
        (["outputs", "--out", "small", "--keep", "all"], "of points, checkpoint, trials, got 'all'"),
        (["outputs", "--out", "outputs/a/one/config.yaml"], "is a file"),
        (["outputs", "--out", "outputs"], "holds all the runs"),
        (["nowhere", "--out", "small"], "no such folder"),
    ],
)
def test_wrong_words_write_nothing(runs, capsys, words, said):
    assert main(["compact", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (runs / "small").exists()


def test_nothing_is_written_where_one_folder_is_foreign(runs, capsys):
    (runs / "small" / "b" / "two").mkdir(parents=True)
    assert main(["compact", "outputs", "--out", "small"]) == 2
    assert "no compact record" in capsys.readouterr().err
    assert not (runs / "small" / "a").exists()


def test_two_runs_of_one_place_are_refused(runs, capsys):
    (runs / "outputs" / "b" / "two").rename(runs / "outputs" / "b" / "one")
    assert main(["compact", "outputs/a", "outputs/b", "--out", "small"]) == 2
    assert "would both become" in capsys.readouterr().err


def test_a_running_and_a_damaged_run_are_named_and_left_out(runs, capsys):
    (runs / "outputs" / "a" / "one" / "trace.jsonl").write_text("{\n{}\n")
    assert main(["compact", "outputs", "--out", "small"]) == 1
    assert "line 1 is damaged" in capsys.readouterr().err
    lock = FolderLock(runs / "outputs" / "b" / "two")
    try:
        assert main(["compact", "outputs", "--out", "other"]) == 1
    finally:
        lock.release()
    assert "is being run now; left out." in capsys.readouterr().err
    assert not (runs / "other").exists()


def test_trials_of_tuning_are_left_out_and_what_they_found_is_kept(runs, capsys):
    tuning = runs / "outputs" / "a" / "tuning"
    manifest = {"run_id": "trial", "optimizer": {"name": "gd"}, "role": "tuning"}
    with RunWriter(tuning / "trial", config="seed: 0\n", manifest=manifest) as writer:
        writer.row({"step": 0, "train_loss": 1.0})
    (tuning / "cost.json").write_text("[]")
    (tuning / "winners.yaml").write_text("[]")
    (tuning / "study.db").write_bytes(b"db")
    assert main(["compact", "outputs", "--out", "small"]) == 0
    assert capsys.readouterr().out.endswith("; trials of tuning left out: 1\n")
    assert _names(runs / "small") == ["a/one", "b/two"]
    assert {path.name for path in (runs / "small" / "a" / "tuning").iterdir()} == {"cost.json", "winners.yaml"}
    assert main(["compact", "outputs", "--out", "other", "--keep", "trials,points"]) == 0
    assert _names(runs / "other") == ["a/one", "a/tuning/trial", "b/two"]
