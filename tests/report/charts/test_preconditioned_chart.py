"""Preconditioned sharpness: quasi-Newton methods by what the probe saw, gradient descent by lr."""

import math

import numpy as np
import pytest

from hessrun.record import RunWriter, Spectrum, find_runs, read_runs
from hessrun.report.charts.preconditioned import preconditioned_sharpness
from hessrun.report.groups import grouped


@pytest.fixture
def write_probed(tmp_path):
    def write(optimizer, **seen):
        manifest = {"optimizer": {"name": optimizer}, "seed": 0, "problem": {"name": "p", "n_parameters": 2}}
        with RunWriter(tmp_path / optimizer, config="seed: 0\n", manifest=manifest) as writer:
            for step in (0, 5):
                writer.row({"step": step, "seconds": step, "train_loss": 1.0})
                spectrum = Spectrum(
                    step, 2, "lanczos", largest=np.array([8.0 + step]), smallest=np.array([1.0]), **seen
                )
                writer.spectrum(spectrum, np.zeros(2))
        return grouped(read_runs(find_runs([tmp_path]))[0])[0]

    return write


def test_sharpness_as_the_method_sees_it(write_probed):
    write_probed("gd", stability_limit=4.0)
    group = write_probed("bfgs", preconditioned_largest=np.array([1.5, 1.0]))
    chart = preconditioned_sharpness(group, "p")
    lines = {s.label: s for s in chart.panels[0].series}
    assert lines["bfgs"].y.tolist() == [1.5, 1.5]
    assert lines["gd"].y.tolist() == [2 * 8 / 4, 2 * 13 / 4]
    assert (lines["2"].x.tolist(), lines["2"].entry) == ([0.0, 5.0], "")


@pytest.mark.parametrize("seen", [{"stability_limit": 4.0}, {"stability_limit": math.nan}])
def test_without_a_quasi_newton_method_there_is_no_chart(write_probed, seen):
    assert preconditioned_sharpness(write_probed("gd", **seen), "p") is None
