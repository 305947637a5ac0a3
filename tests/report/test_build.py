"""The folder that a report is: whole or not at all, the same bytes for the same record, no network."""

import json
from pathlib import Path

import pytest

from hessrun.errors import RecordError
from hessrun.report import build


def test_a_hessian_method_that_wins_by_iteration_and_loses_by_the_clock(tmp_path, write_run, text):
    for seed in range(3):
        write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5, 0.25, 0.125, 0.1], seconds=1.0)
        write_run(tmp_path / "runs", "newton", seed, [1.0, 0.01, 0.001, 0.001, 0.001], seconds=100.0)
    paths = build([tmp_path / "runs"], tmp_path / "out", progress=iter)
    said = text(paths)
    assert "At 4 iterations, median training loss: newton 0.001, lower than the 0.1 of gd by a factor of 100." in said
    assert (
        "At 4 optimizer seconds, median training loss: newton 1, higher than the 0.1 of gd by a factor of 10." in said
    )
    assert "By iteration, yes: at 4 iterations, 1 of 1 Hessian method (newton) had a median training loss lower" in said
    assert "By the clock, no: at 4 optimizer seconds, 0 of 1 Hessian method had a median training loss lower" in said
    assert "gd took 4 iterations, 4 optimizer seconds and 5 passes; newton took 1 iteration, 100 optimizer" in said
    assert "newton 100 ms" not in said
    assert "newton 1e+05 ms (100 times as much) and 1 pass (the same)" in said
    assert "as few as 3 seeds" in said
    assert "an eigenvalue below minus the noise floor in 3 of 3 runs" in said
    assert "its eigenvalues ranged from -1 to 4 at step 0 and from 0.5 to 4 at step 4" in said
    assert "25% at step 0 and 0% at step 4 of them were negative" in said
    assert {p.suffix for p in paths.figures.iterdir()} == {".svg", ".png", ".pdf"}
    assert (paths.tables / "problem1-targets.csv").read_text().splitlines()[1:] == ["gd,4,4,5", "newton,1,100,2"]
    json.loads((tmp_path / "out" / "report.json").read_text())


def test_the_same_record_gives_the_same_bytes(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    first, second = (build([tmp_path / "runs"], tmp_path / name) for name in ("a", "b"))
    build([tmp_path / "runs"], tmp_path / "a")  # now with the rows that the first had read
    for file in first.html.parent.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (second.html.parent / file.relative_to(first.html.parent)).read_bytes(), file


def test_a_partial_record_makes_a_partial_report(tmp_path, write_run, text):
    torn = write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], state=None)
    with (torn / "trace.jsonl").open("a") as file:
        file.write('{"step": 2, "tra')
    write_run(tmp_path / "runs", "newton", 0, [], spectra=False, state=None)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "manifest.json").write_text("{")
    paths = build([tmp_path / "runs"], tmp_path / "out")
    assert any("no status.json; its 2 rows" in w for w in paths.warnings)
    assert any("no rows yet" in w for w in paths.warnings)
    assert any("damaged" in w for w in paths.warnings)
    assert "## What is missing" in text(paths)


@pytest.mark.usefixtures("without_figures")
def test_refusals_write_nothing(tmp_path, write_run):
    with pytest.raises(RecordError, match="no such folder"):
        build([tmp_path / "none"], tmp_path / "out")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x.txt").write_text("x")
    with pytest.raises(RecordError, match="holds no run"):
        build([tmp_path / "foreign"], tmp_path / "out")
    write_run(tmp_path / "empty", "gd", 0, [], spectra=False)
    with pytest.raises(RecordError, match="no run holds a readable row"):
        build([tmp_path / "empty"], tmp_path / "out")
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    with pytest.raises(RecordError, match="is not empty"):
        build([tmp_path / "runs"], tmp_path / "foreign")
    with pytest.raises(RecordError, match="is a file"):
        build([tmp_path / "runs"], Path(tmp_path / "foreign" / "x.txt"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "foreign", "runs"]


@pytest.mark.usefixtures("without_figures")
def test_a_users_file_beside_an_earlier_report_is_not_deleted(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    paths = build([tmp_path / "runs"], tmp_path / "out")
    (paths.html.parent / "notes.txt").write_text("mine")
    with pytest.raises(RecordError, match=r"notes\.txt beside an earlier report"):
        build([tmp_path / "runs"], tmp_path / "out")
    assert (paths.html.parent / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("without_figures")
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        build([tmp_path / "runs"], tmp_path / "file" / "out")


@pytest.mark.usefixtures("without_figures")
def test_report_json_is_strict_and_holds_the_numbers(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.7], accuracy=False)

    def refuse(word):
        raise ValueError(word)

    path = build([tmp_path / "runs"], tmp_path / "out").html.with_name("report.json")
    problem = json.loads(path.read_text(), parse_constant=refuse)["problems"][0]
    assert problem["baseline"] == "gd"
    assert problem["target"]["train_loss"] == pytest.approx(0.5, rel=2e-6)
    assert problem["equal_budgets"]["step"] == {"amount": 1.0, "median_loss": {"gd": 0.5, "newton": 0.7}}
    newton = problem["optimizers"][1]
    assert newton["end"]["train_loss"] == {"median": 0.7, "low": 0.7, "high": 0.7, "count": 1}
    assert newton["end"]["test_accuracy"]["median"] is None
    assert newton["cost_to_target"] == {"step": None, "seconds": None, "passes": None}
    assert newton["runs"][0]["spectra"][0]["smallest"] == -1.0
