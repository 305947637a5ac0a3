"""What a report says against itself: one line for each thing that its numbers cannot bear."""

import json

import pytest

from hessrun.errors import RecordError
from hessrun.report import build

pytestmark = pytest.mark.usefixtures("without_figures")
PLAIN = {"spectra": False, "accuracy": False}


def said(folder):
    return build([folder / "runs"], folder / "out").warnings


def test_protocols_mixed_are_reported_apart(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], facts={"protocol": 1})
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.5], facts={"protocol": 2})
    assert "The runs belong to 2 problems, which are reported apart." in said(tmp_path)
    assert "The runs follow 2 versions of the protocol (1 and 2): reported apart." in said(tmp_path)


def test_one_seed_has_no_interval_and_two_have(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    assert "mlp-digits, weight decay 0.001: 1 seed alone; no interval is given." in said(tmp_path)
    write_run(tmp_path / "runs", "gd", 1, [1.0, 0.5])
    assert said(tmp_path) == []


def test_where_all_diverged_nothing_can_be_compared(tmp_path, write_run):
    for seed in (0, 1):
        write_run(tmp_path / "runs", "gd", seed, [1.0, 9.0], state="diverged", status="diverged")
    assert any(line.endswith("all 2 runs diverged; nothing can be compared.") for line in said(tmp_path))


@pytest.mark.parametrize(("end", "is_flagged"), [(1.1, False), (1.3, True), (0.7, True)])
def test_a_machine_that_drifts_is_flagged(tmp_path, write_run, end, is_flagged):
    for seed in (0, 1):
        run = write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5], facts={"reference_gradient_seconds": 1.0})
        status = json.loads((run / "status.json").read_text()) | {"reference_gradient_seconds": end}
        (run / "status.json").write_text(json.dumps(status))
    assert any("changed by more than 20%" in line for line in said(tmp_path)) == is_flagged


def test_runs_beside_others_and_tuning_are_said(tmp_path, write_run):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], facts={"concurrent": 2})
    write_run(tmp_path / "runs", "gd", 1, [1.0, 0.5])
    write_run(tmp_path / "runs", "newton", 7, [1.0, 0.5], facts={"role": "tuning"})
    lines = said(tmp_path)
    assert any("1 run ran beside others on one machine" in line for line in lines)
    assert "1 run tuned settings: left out of the comparisons." in lines


def test_rows_without_a_loss_are_said(tmp_path, write_run):
    run = write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], **PLAIN)
    (run / "trace.jsonl").write_text('{"step": 0, "seconds": 0.0}\n{"step": 1, "seconds": 1.0}\n')
    lines = said(tmp_path)
    assert any("no row of 1 run holds a training loss (gd-mlp-digits-s0-None)" in line for line in lines)
    assert any(line.endswith("no spectrum was recorded.") for line in lines)


def test_a_newer_schema_is_left_out_by_name_and_alone_it_is_refused(tmp_path, write_run):
    newer = write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    manifest = json.loads((newer / "manifest.json").read_text()) | {"schema_version": 99}
    (newer / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        RecordError, match=r"no run holds a readable row \(.*written with schema 99.*: update hessrun\)"
    ):
        said(tmp_path)
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.5])
    assert any("written with schema 99" in line for line in said(tmp_path))
