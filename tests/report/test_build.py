"""The report on synthetic records whose truth is known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from hessrun.errors import RecordError
from hessrun.record import RunWriter, Spectrum
from hessrun.report import build


def write_run(
    root,
    optimizer,
    seed,
    losses,
    *,
    seconds=1.0,
    state="finished",
    status="iterations_spent",
    lr=None,
    spectra=True,
    accuracy=True,
    known_minimum=None,
    minimises="the objective",
    name="mlp-digits",
):
    settings = f"optimizer:\n  _target_: x.{optimizer}\n" + (f"  lr: {lr}\n" if lr is not None else "")
    manifest = {
        "optimizer": {"name": optimizer, "minimises": minimises},
        "seed": seed,
        "warnings": [],
        "problem": {
            "name": name,
            "n_parameters": 4,
            "n_examples": 10,
            "known_minimum": known_minimum,
            "details": {"weight_decay": 0.001},
        },
    }
    folder = root / f"{optimizer}-{name}-s{seed}-{lr}"
    with RunWriter(folder, config=settings, manifest=manifest) as writer:
        for step, loss in enumerate(losses):
            row = {
                "step": step,
                "seconds": step * seconds,
                "values": 0.0,
                "gradients": step + 1.0,
                "products": 0.0,
                "hessian_columns": 0.0,
                "train_loss": loss,
                "gradient_norm": loss,
                "step_size": 1.0,
                "state_bytes": 8,
            }
            writer.row(row | ({"test_accuracy": 0.9, "validation_accuracy": 0.8} if accuracy else {}))
        if spectra:
            for step, low in ((0, -1.0), (len(losses) - 1, 0.5)):
                values = np.array([low, 1.0, 2.0, 4.0])
                seen = Spectrum(
                    step,
                    4,
                    "exact",
                    values,
                    values[::-1],
                    values,
                    negative=int(low < 0),
                    zero=0,
                    condition_number=4 / abs(low),
                    noise_floor=1e-12,
                    noise_floor_source="rounding",
                )
                writer.spectrum(seen, np.zeros(4))
        if state is not None:
            writer.status(state=state, status=status, reason="Because.")
    return folder


def text(paths):
    return paths.markdown.read_text()


def test_a_hessian_method_that_wins_by_iteration_and_loses_by_the_clock(tmp_path):
    for seed in range(3):
        write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5, 0.25, 0.125, 0.1], seconds=1.0)
        write_run(tmp_path / "runs", "newton", seed, [1.0, 0.01, 0.001, 0.001, 0.001], seconds=100.0)
    paths = build([tmp_path / "runs"], tmp_path / "out", progress=iter)
    said = text(paths)
    assert "At 4 iterations, median training loss: newton 0.001, lower than the 0.1 of gd by a factor of 100." in said
    assert (
        "At 4 optimizer seconds, median training loss: newton 1, higher than the 0.1 of gd by a factor of 10." in said
    )
    assert "By iteration, yes: at 4 iterations, 1 of 1 Hessian method (newton) had a lower" in said
    assert "By the clock, no: at 4 optimizer seconds, 0 of 1 Hessian method had a lower" in said
    assert "gd took 4 iterations, 4 optimizer seconds and 5 passes; newton took 1 iteration, 100 optimizer" in said
    assert "newton 100 ms" not in said
    assert "newton 1e+05 ms (100 times)" in said
    assert "as few as 3 seeds" in said
    assert (
        "below minus the noise floor in 3 of 3 runs; its eigenvalues ranged from -1 to 4 at step 0 and from 0.5 to 4 at step 4"
        in said
    )
    assert "25% at step 0 and 0% at step 4 of them were negative" in said
    assert {p.suffix for p in paths.figures.iterdir()} == {".svg", ".png", ".pdf"}
    assert (paths.tables / "problem1-targets.csv").read_text().splitlines()[1:] == ["gd,4,4,5", "newton,1,100,2"]
    json.loads((tmp_path / "out" / "report.json").read_text())


def test_the_same_record_gives_the_same_bytes_and_the_page_fetches_nothing(tmp_path):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5])
    first, second = (build([tmp_path / "runs"], tmp_path / name) for name in ("a", "b"))
    for file in first.html.parent.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (second.html.parent / file.relative_to(first.html.parent)).read_bytes(), file
    page = first.html.read_text()
    assert "src=" not in page
    assert "<link" not in page
    assert 'href="http' not in page.replace('xlink:href="http', "")
    build([tmp_path / "runs"], tmp_path / "a")


def test_ties_are_called_ties(tmp_path):
    for name in ("gd", "lbfgs"):
        write_run(tmp_path / "runs", name, 0, [1.0, 0.5], spectra=False, accuracy=False)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "lbfgs ties with gd at 0.5" in said
    assert "no: at 1 iteration, 0 of 1" in said
    assert "no spectrum was recorded" in said
    assert "as few as 1 seed." in said
    assert "accuracy at the end" not in said


def test_settings_problems_and_other_functions_are_told_apart(tmp_path):
    for lr in (0.1, 0.01):
        write_run(tmp_path / "runs", "gd", 0, [1.0, lr], lr=lr)
    write_run(tmp_path / "runs", "adamw", 0, [1.0, 1e-9], minimises="another function")
    write_run(tmp_path / "runs", "bfgs", 0, [3.0, 2.0], name="rosenbrock", known_minimum=1.0)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "gd (lr=0.1)" in said
    assert "gd (lr=0.01)" in said
    assert "adamw *" in said
    assert "belong to 2 problems" in said
    assert "training loss above the minimum" in said
    assert "no comparison is made" in said


@pytest.mark.parametrize("losses", [[1.0, math.nan], [math.nan]])
def test_all_diverged(tmp_path, losses):
    write_run(tmp_path / "runs", "gd", 0, losses, state="diverged", status="diverged", spectra=False)
    write_run(tmp_path / "runs", "newton", 0, losses, state="diverged", status="diverged", spectra=False)
    paths = build([tmp_path / "runs"], tmp_path / "out")
    assert "has no answer" in text(paths)
    assert len(paths.warnings) == 2


def test_a_partial_record_makes_a_partial_report(tmp_path):
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


def test_refusals_write_nothing(tmp_path):
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


def test_a_name_of_the_users_own_is_not_called_a_hessian_method(tmp_path):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], spectra=False, accuracy=False)
    write_run(tmp_path / "runs", "mine", 0, [1.0, 0.1], spectra=False, accuracy=False)
    assert "has no answer" in text(build([tmp_path / "runs"], tmp_path / "out"))


def test_seeds_that_diverge_are_counted_not_dropped(tmp_path):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], spectra=False, accuracy=False)
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.1], spectra=False, accuracy=False)
    bad = {"state": "diverged", "status": "diverged", "spectra": False, "accuracy": False}
    write_run(tmp_path / "runs", "newton", 1, [1.0, math.nan], **bad)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "0.1 (1 of 2 not finite)" in said
    assert "newton ∞ against 0.5 for gd" in said
    assert "no: at 1 iteration, 0 of 1" in said
