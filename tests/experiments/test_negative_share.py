"""The share of negative eigenvalues falls along with the loss (Dauphin et al., 2014; along a run of training)."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from hessrun.record import Run


def along(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Loss and share of negative eigenvalues at the probed steps."""
    loss = run.rows.set_index("step")["train_loss"]
    return np.array([loss[s.step] for s in run.spectra]), np.array([s.negative_share for s in run.spectra])


def test_on_a_small_dataset(run):
    loss, share = along(run("negative_share", "dataset=wine", "model.hidden=[16]", "budget.iterations=1024"))
    assert spearmanr(loss, share).statistic > 0.8


SQUARED = ("loss=mean_squared_error", "problem.weight_decay=0.0", "optimizer.lr=0.5")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("seed=0",), ("seed=1",), SQUARED], ids=["seed 0", "seed 1", "squared error"])
def test_on_digits(run, drawn, words):
    found = run("negative_share", *words)
    loss, share = along(found)
    assert len(loss) > 10
    assert spearmanr(loss, share).statistic > 0.95
    assert share[-1] < share[0] / 4
    assert "curvature" in drawn(found)


@pytest.mark.slow
def test_it_is_no_law_where_there_is_no_minimum(run):
    """Cross entropy without weight decay: the share rises again while the loss falls on."""
    loss, share = along(run("negative_share", "problem.weight_decay=0.0", "budget.iterations=512"))
    assert np.all(np.diff(loss) < 0)
    assert share[-1] > 1.1 * share.min()
