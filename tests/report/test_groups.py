"""What counts as one problem, as a repetition, and as a run to compare."""

import pytest

from hessrun.record import read_run
from hessrun.report import build
from hessrun.report.groups import grouped
from hessrun.report.numbers import comparable

PLAIN = {"spectra": False, "accuracy": False}
pytestmark = pytest.mark.usefixtures("without_figures")


def _configured(folder, text):
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return folder


def test_problems_of_one_size_with_other_settings_are_reported_apart(tmp_path, write_run):
    runs = [
        _configured(write_run(tmp_path / word, "gd", 0, [1.0, 0.5], **PLAIN), f"model:\n  activation: {word}\n")
        for word in ("tanh", "relu")
    ]
    groups = grouped([read_run(run) for run in runs])
    assert sorted(group.title for group in groups) == [
        f"mlp-digits, weight decay 0.001 (activation={word})" for word in ("relu", "tanh")
    ]
    assert [len(group.runs) for group in groups] == [1, 1]


def test_where_the_data_lie_makes_no_other_problem(tmp_path, write_run):
    runs = [
        _configured(write_run(tmp_path / str(seed), "gd", seed, [1.0], **PLAIN), f"dataset:\n  data_dir: d{seed}\n")
        for seed in (0, 1)
    ]
    assert [len(group.runs) for group in grouped([read_run(run) for run in runs])] == [2]


def test_one_run_stands_for_a_seed_and_the_other_is_named(tmp_path, write_run, text):
    write_run(tmp_path / "runs" / "long", "gd", 0, [1.0, 0.5, 0.4], **PLAIN)
    write_run(tmp_path / "runs" / "short", "gd", 0, [1.0, 0.9], **PLAIN)
    write_run(tmp_path / "runs" / "other", "gd", 1, [1.0, 0.5, 0.4], **PLAIN)
    paths = build([tmp_path / "runs"], tmp_path / "out")
    assert "gd-mlp-digits-s0-None: repeats seed 0 of gd; left out." in paths.warnings
    assert "| gd | 2 | 0.4 |" in text(paths)


@pytest.mark.parametrize(("state", "losses"), [("failed", [1.0]), ("failed", [1.0, 0.9]), ("running", [1.0])])
def test_a_run_that_failed_or_has_hardly_begun_sets_no_budget(tmp_path, write_run, text, state, losses):
    for seed in (0, 1):
        write_run(tmp_path / "runs", "gd", seed, [1.0, 0.8, 0.6], **PLAIN)
    write_run(tmp_path / "runs", "lbfgs", 0, [1.0, 0.4, 0.1], **PLAIN)
    write_run(tmp_path / "runs", "lbfgs", 1, losses, state=state, status=state, **PLAIN)
    write_run(tmp_path / "runs", "mine", 0, losses, state=state, status=state, **PLAIN)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    lead = "At 2 iterations, median training loss: lbfgs 0.1, lower than the 0.6 of gd by a factor of 6"
    assert f"{lead} (over the 1 seed in common)." in said
    assert "By iteration, yes: at 2 iterations, 1 of 1 Hessian method (lbfgs)" in said
    assert f"1 × {state}" in next(line for line in said.splitlines() if line.startswith("Not every run of lbfgs"))
    assert f"Not every run of mine finished: 1 × {state}." in said


def test_an_interrupted_run_is_compared_where_its_optimizer_has_no_other(tmp_path, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.8, 0.6], **PLAIN)
    write_run(tmp_path / "runs", "lbfgs", 0, [1.0, 0.4], state="interrupted", status="interrupted", **PLAIN)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "At 1 iteration, median training loss: lbfgs 0.4, lower than the 0.8 of gd by a factor of 2." in said


def test_a_lead_that_no_ratio_would_show_is_no_lead(tmp_path, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.6], **PLAIN)
    write_run(tmp_path / "runs", "lbfgs", 0, [1.0, 0.598], **PLAIN)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "lbfgs 0.598 and gd 0.6, within 0.5% of each other" in said
    assert "By iteration, no: at 1 iteration, 0 of 1 Hessian method had" in said


def test_runs_that_tuned_settings_are_no_part_of_a_comparison(make_run):
    runs = [make_run("gd", 0, losses=[1.0, 0.5]), make_run("gd", 1000, losses=[1.0, 0.1], role="tuning")]
    (group,) = grouped(runs)
    assert [run.manifest["seed"] for run in group.runs] == [0]


def test_protocol_versions_are_grouped_apart_and_said(make_run):
    runs = [make_run("gd", 0, losses=[1.0, 0.5], protocol=version) for version in (1, 2)]
    assert sorted(group.title for group in grouped(runs)) == ["made (protocol=1)", "made (protocol=2)"]


def test_a_problem_drawn_anew_for_each_seed_is_one_problem(make_run):
    runs = [make_run("gd", s, losses=[1.0, 0.5], details={"n": 4, "seed": s}) for s in range(3)]
    assert [len(group.runs) for group in grouped(runs)] == [3]


def test_problems_of_another_seed_than_the_runs_are_apart(make_run):
    runs = [make_run("gd", 0, losses=[1.0, 0.5], details={"n": 4, "seed": s}) for s in range(3)]
    assert [len(group.runs) for group in grouped(runs)] == [1, 1, 1]


def test_rows_with_diagnoses_are_not_compared_beside_the_same_runs_without(make_run):
    plain = make_run("bfgs", 0, losses=[1.0, 0.5])
    looked = make_run("bfgs", 0, losses=[1.0, 0.5], settings={"diagnose": True})
    (group,) = grouped([plain, looked])
    assert len(group.entries) == 2
    assert [entry.runs for entry in comparable(group)] == [(plain,)]
    (alone,) = grouped([looked])
    assert [entry.runs for entry in comparable(alone)] == [(looked,)]
