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
