"""A spectrum comes back from its file as it was."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hessrun.errors import RecordError
from hessrun.record import Spectrum

FLOATS = arrays(np.float64, st.integers(0, 5), elements=st.floats(allow_nan=False))


@settings(deadline=None)
@given(eigenvalues=FLOATS, step=st.integers(0, 10**7), floor=st.floats(0, 1))
def test_round_trip(tmp_path_factory, eigenvalues, step, floor):
    spectrum = Spectrum(step=step, n=5, kind="lanczos", eigenvalues=eigenvalues, noise_floor=floor, converged=False)
    path = tmp_path_factory.mktemp("spectra") / "a.npz"
    spectrum.save(path)
    back = Spectrum.load(path)
    for f in fields(Spectrum):
        np.testing.assert_array_equal(getattr(back, f.name), getattr(spectrum, f.name))
    assert type(back.step) is int
    assert back.converged is False


def test_negative_share_and_indefiniteness():
    spectrum = Spectrum(step=0, n=4, kind="exact", smallest=np.array([-1.0]), negative=1, noise_floor=0.5)
    assert spectrum.is_indefinite
    assert spectrum.negative_share == 0.25
    unknown = Spectrum(step=0, n=4, kind="lanczos")
    assert not unknown.is_indefinite
    assert np.isnan(unknown.negative_share)


def test_a_file_of_another_kind(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(2))
    with pytest.raises(RecordError, match="no spectrum"):
        Spectrum.load(tmp_path / "other.npz")


def test_a_density_and_a_preconditioned_spectrum_come_back(tmp_path):
    nodes, weights = np.arange(6.0).reshape(2, 3), np.full((2, 3), 1 / 3)
    spectrum = Spectrum(
        step=1,
        n=9,
        kind="density",
        density_nodes=nodes,
        density_weights=weights,
        preconditioned_largest=np.array([3.0, 2.0]),
        preconditioned_smallest=np.array([0.5]),
        preconditioned_condition=6.0,
        effective_rank=2.5,
        outliers=3,
        bulk_edge=0.25,
    )
    spectrum.save(tmp_path / "a.npz")
    back = Spectrum.load(tmp_path / "a.npz")
    for f in fields(Spectrum):
        np.testing.assert_array_equal(getattr(back, f.name), getattr(spectrum, f.name))
    assert back.density_nodes.shape == (2, 3)
    assert type(back.outliers) is int


def test_a_file_written_before_there_were_densities_still_loads(tmp_path):
    np.savez(tmp_path / "old.npz", step=4, n=2, kind="exact", eigenvalues=np.array([-1.0, 2.0]), negative=1, zero=0)
    old = Spectrum.load(tmp_path / "old.npz")
    assert (old.step, old.negative, old.outliers) == (4, 1, -1)
    assert np.isnan([old.effective_rank, old.bulk_edge, old.preconditioned_condition]).all()
    assert old.density_nodes.size == old.density_weights.size == old.preconditioned_largest.size == 0
