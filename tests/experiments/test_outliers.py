"""Sagun et al. (2017), Papyan (2019): a trained classifier of C classes has about C outliers above the bulk."""

import pytest


def test_three_classes(run):
    last = run("outliers", "dataset=wine", "model.hidden=[16]").spectra[-1]
    assert 2 <= last.outliers <= 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ten_classes(run, drawn, seed):
    found = run("outliers", f"seed={seed}")
    last = found.spectra[-1]
    assert found.trace[-1]["train_loss"] < 0.1
    assert found.trace[-1]["validation_accuracy"] > 0.9
    assert 5 <= last.outliers <= 20
    # They stand apart: each is above the edge, and all together hold a share far beyond their number's.
    top = last.eigenvalues[::-1][: last.outliers]
    assert top[-1] > last.bulk_edge
    assert top.sum() / last.eigenvalues.clip(min=0).sum() > 20 * last.outliers / last.n
    assert "spectrum" in drawn(found)
