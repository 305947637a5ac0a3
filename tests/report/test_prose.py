"""What the report says of synthetic records whose truth is known, both ways."""

import math

import numpy as np
import pytest

from hessrun.record import Spectrum
from hessrun.report import build


@pytest.mark.usefixtures("without_figures")
def test_ties_are_called_ties(tmp_path, write_run, text):
    for name in ("gd", "lbfgs"):
        write_run(tmp_path / "runs", name, 0, [1.0, 0.5], spectra=False, accuracy=False)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "lbfgs ties with gd at 0.5" in said
    assert "no: at 1 iteration, 0 of 1" in said
    assert "no spectrum was recorded" in said
    assert "as few as 1 seed." in said
    assert "accuracy at the end" not in said


@pytest.mark.usefixtures("without_figures")
def test_settings_problems_and_other_functions_are_told_apart(tmp_path, write_run, text):
    for lr in (0.1, 0.01):
        write_run(tmp_path / "runs", "gd", 0, [1.0, lr], lr=lr)
    write_run(tmp_path / "runs", "adamw", 0, [1.0, 1e-9], minimises="another function")
    write_run(tmp_path / "runs", "bfgs", 0, [3.0, 2.0], name="rosenbrock", known_minimum=1.0)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "gd (lr=0.1)" in said
    assert "gd (lr=0.01)" in said
    assert "adamw *" in said
    assert "belong to 2 problems" in said
    assert "no comparison is made" in said


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("losses", [[1.0, math.nan], [math.nan]])
def test_all_diverged(tmp_path, losses, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, losses, state="diverged", status="diverged", spectra=False)
    write_run(tmp_path / "runs", "newton", 0, losses, state="diverged", status="diverged", spectra=False)
    paths = build([tmp_path / "runs"], tmp_path / "out")
    assert "has no answer" in text(paths)
    assert sum(": diverged (Because.)" in line for line in paths.warnings) == 2
    assert any("all 2 runs diverged" in line for line in paths.warnings)


@pytest.mark.usefixtures("without_figures")
def test_a_name_of_the_users_own_is_not_called_a_hessian_method(tmp_path, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], spectra=False, accuracy=False)
    write_run(tmp_path / "runs", "mine", 0, [1.0, 0.1], spectra=False, accuracy=False)
    assert "has no answer" in text(build([tmp_path / "runs"], tmp_path / "out"))


@pytest.mark.usefixtures("without_figures")
def test_seeds_that_diverge_are_counted_not_dropped(tmp_path, write_run, text):
    for seed in (0, 1):
        write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5], spectra=False, accuracy=False)
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.1], spectra=False, accuracy=False)
    bad = {"state": "diverged", "status": "diverged", "spectra": False, "accuracy": False}
    write_run(tmp_path / "runs", "newton", 1, [1.0, math.nan], **bad)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "0.1 (1 of 2 not finite)" in said
    assert "newton ∞ against 0.5 for gd" in said
    assert "no: at 1 iteration, 0 of 1" in said


@pytest.mark.usefixtures("without_figures")
def test_settings_of_machine_warnings_and_many_seeds_are_said(tmp_path, write_run, text):
    plain = {"spectra": False, "accuracy": False}
    for seed in range(8):
        facts = {"dtype": "float64", "device": "cpu", "device_name": "a processor", "threads": 1 + seed % 2}
        facts["warnings"] = ["the reference gradient drifted by 30%"] if seed == 0 else []
        write_run(tmp_path / "runs", "gd", seed, [1.0, 0.5], facts=facts, **plain)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "8 runs of 1 optimizer over 8 seeds, in float64 on a processor, threads: 1 and 2." in said
    assert "timed on 2 settings of machine and threads" in said
    assert "1 run carried a warning, the first: the reference gradient drifted by 30%" in said
    assert "The medians stand on at least 8 seeds; the tests stand with the assertions." in said


@pytest.mark.usefixtures("without_figures")
def test_another_precision_is_another_entry_not_another_seed(tmp_path, write_run, text):
    for index, dtype in enumerate(("float32", "float64")):
        write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], lr=None, name=f"p{index}", facts={"dtype": dtype})
    for run in (tmp_path / "runs").iterdir():
        manifest = (run / "manifest.json").read_text().replace('"p0"', '"p"').replace('"p1"', '"p"')
        (run / "manifest.json").write_text(manifest)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "gd (dtype=float32)" in said
    assert "gd (dtype=float64)" in said


@pytest.mark.usefixtures("without_figures")
def test_runs_without_a_step_share_no_budget(tmp_path, write_run, text):
    for name in ("gd", "newton"):
        write_run(tmp_path / "runs", name, 0, [1.0], spectra=False, accuracy=False)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "By iteration, yes" not in said
    assert "By iteration, no" not in said
    assert "newton ties with gd at 1" in said  # the start costs one gradient: passes are comparable


@pytest.mark.usefixtures("without_figures")
def test_extreme_eigenvalues_alone_say_nothing_of_shares(tmp_path, write_run, text):
    folder = write_run(tmp_path / "runs", "lbfgs", 0, [1.0, 0.5], spectra=False, accuracy=False)
    ends = {"largest": np.array([5.0]), "smallest": np.array([-2.0]), "noise_floor": 1e-9}
    for step in (0, 1):
        Spectrum(step, 100, "lanczos", **ends).save(folder / "spectra" / f"{step:06d}.npz")
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "in 1 of 1 run; its eigenvalues ranged from -2 to 5 at step 0 and from -2 to 5 at step 1 (medians)." in said
    assert "of them were negative" not in said
    assert "| 5 | -2 | – | – | 1e-09 | – | lanczos |" in said


@pytest.mark.usefixtures("without_figures")
def test_a_target_that_is_missed_and_an_early_convergence(tmp_path, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5, 0.2], spectra=False, accuracy=False)
    write_run(tmp_path / "runs", "newton", 0, [1.0, 0.3], status="converged", spectra=False, accuracy=False)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "newton did not reach it in the median and ended after " in said
    assert "At 2 iterations, median training loss: newton 0.3, higher than the 0.2 of gd by a factor of 1.5." in said
    assert "∞ (1 of 1 not reached)" in said


@pytest.mark.usefixtures("without_figures")
def test_probes_that_end_at_different_steps_are_not_said_to_share_one(tmp_path, write_run, text):
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], accuracy=False)
    write_run(tmp_path / "runs", "gd", 1, [1.0, 0.5, 0.4], accuracy=False)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "from -1 to 4 at step 0 and from 0.5 to 4 at the last probe (steps 1 to 2)" in said


@pytest.mark.usefixtures("without_figures")
def test_ratios_are_of_what_is_above_a_known_minimum(tmp_path, write_run, text):
    plain = {"spectra": False, "accuracy": False, "known_minimum": -1.0, "name": "quadratic"}
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.0], **plain)
    write_run(tmp_path / "runs", "newton", 0, [1.0, -0.9998], **plain)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "newton -0.9998, lower than the 0 of gd by a factor of 5,000 in what is above the minimum" in said


@pytest.mark.usefixtures("without_figures")
def test_a_method_that_beats_the_baseline_only_by_diverging_is_not_ahead(tmp_path, write_run, text):
    plain = {"spectra": False, "accuracy": False}
    write_run(tmp_path / "runs", "gd", 0, [1.0, 0.5], **plain)
    write_run(tmp_path / "runs", "bfgs", 0, [1.0, -math.inf], state="diverged", status="diverged", **plain)
    write_run(tmp_path / "runs", "lbfgs", 0, [1.0, 0.4], **plain)
    said = text(build([tmp_path / "runs"], tmp_path / "out"))
    assert "By iteration, in part: at 1 iteration, 1 of 2 Hessian methods (lbfgs)" in said
    assert "Not every run of bfgs finished: 1 × diverged." in said
