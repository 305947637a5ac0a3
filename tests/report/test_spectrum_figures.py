"""Densities over decades are what they say, and figures of spectra are made only where their data exist."""

import math

import numpy as np
import pytest

from hessrun.record import RunWriter, Spectrum, read_run
from hessrun.report.decades import Decades, densities
from hessrun.report.density_map import density_maps
from hessrun.report.groups import grouped
from hessrun.report.spectra_figures import spectra_charts
from hessrun.report.spectrum_figure import spectrum_figure

VALUES = np.array([-1e-3, 0.0, 1e-9, 2e-3, 0.5, 4.0])


def exact(step=0, values=VALUES, **facts):
    return Spectrum(
        step,
        len(values),
        "exact",
        values,
        np.sort(values)[::-1],
        np.sort(values),
        noise_floor=1e-8,
        **facts,
    )


def test_positions_turn_back_into_eigenvalues():
    decades = Decades.of([VALUES], 1e-8)
    np.testing.assert_allclose(decades.positions(decades.grid), decades.ticks, atol=1e-12)
    assert decades.grid[0] < -1e-3
    assert decades.grid[-1] > 4.0


def test_the_area_is_one_and_the_share_below_zero_is_that_of_the_eigenvalues():
    decades = Decades.of([VALUES], 1e-8)
    (row,) = densities(exact(), decades)
    spacing = decades.ticks[1] - decades.ticks[0]
    assert row.sum() * spacing == pytest.approx(1.0, abs=1e-6)
    assert row[decades.grid < -1e-5].sum() * spacing == pytest.approx(1 / 6, abs=1e-6)


def test_a_density_has_a_row_for_each_random_vector():
    nodes, weights = np.array([[1.0, 2.0], [1.0, 3.0]]), np.array([[0.5, 0.5], [0.25, 0.75]])
    seen = Spectrum(0, 9, "density", density_nodes=nodes, density_weights=weights)
    decades = Decades.of([nodes.ravel()], 0.0)
    rows = densities(seen, decades)
    np.testing.assert_allclose(rows.sum(1) * (decades.ticks[1] - decades.ticks[0]), 1.0, rtol=1e-6)


def test_no_density_where_the_ends_alone_are_known():
    seen = Spectrum(0, 9, "lanczos", largest=np.array([2.0]), smallest=np.array([-1.0]))
    assert densities(seen, Decades.of([np.array([-1.0, 2.0])], 0.0)) is None
    assert b"PNG" in spectrum_figure(seen, "a", "a run").files["png"][:8]


@pytest.mark.parametrize("values", [VALUES, np.zeros(3), np.ones(1), np.array([1e-60, 1e-50]), np.array([1.0, 1e292])])
def test_any_spectrum_can_be_drawn(values):
    assert "<svg" in spectrum_figure(exact(values=values), "a", "a run").files["svg"].decode()


def write(tmp_path, spectra):
    manifest = {"optimizer": {"name": "gd"}, "seed": 0, "problem": {"name": "p"}}
    with RunWriter(tmp_path / "run", config="optimizer: {lr: 0.5}\n", manifest=manifest) as writer:
        for step in (0, 9):
            writer.row({"step": step, "seconds": 0.0, "gradients": 1.0, "train_loss": 1.0})
        for spectrum in spectra:
            writer.spectrum(spectrum, np.zeros(6))
    (group,) = grouped([read_run(tmp_path / "run")])
    return [found.name for found in (*spectra_charts(group, "p"), *density_maps(group, "p"))]


def test_figures_are_made_where_their_data_exist(tmp_path):
    assert write(tmp_path / "none", []) == []
    assert write(tmp_path / "one", [exact()]) == []
    assert write(tmp_path / "all", [exact(), exact(9)]) == ["p-eigenvalues", "p-densities"]
    limits = [exact(stability_limit=4.0), exact(9, stability_limit=4.0)]
    assert write(tmp_path / "limits", limits) == ["p-eigenvalues", "p-sharpness", "p-densities"]
    assert math.isnan(exact().stability_limit)
