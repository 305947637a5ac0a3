"""Cohen, Kaur, Li, Kolter and Talwalkar (2021): the sharpness rises to 2 / lr, hovers there; the loss still falls."""

import numpy as np
import pytest

from hessrun.record import Run


def sharpness(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the largest eigenvalue there relative to 2 / lr."""
    rate = run.config["optimizer"]["lr"]
    return np.array([s.step for s in run.spectra]), np.array([s.largest[0] * rate / 2 for s in run.spectra])


def test_the_sharpness_rises_and_then_stays(run):
    """With fewer examples and a larger rate the line is reached in a few hundred steps."""
    found = run("edge_of_stability", "dataset.limit=60", "optimizer.lr=1.0", "budget.iterations=700")
    steps, relative = sharpness(found)
    assert relative[0] < 0.6
    assert np.all((relative[steps >= 500] > 0.9) & (relative[steps >= 500] < 1.2))
    assert all(s.converged and s.complete for s in found.spectra)


@pytest.mark.slow
def test_progressive_sharpening_and_the_edge_of_stability(run, drawn):
    found = run("edge_of_stability")
    steps, relative = sharpness(found)
    loss = found.rows.set_index("step")["train_loss"]
    reached = int(steps[np.argmax(relative > 1)])
    before, after = steps < reached, steps >= reached + 500
    # Progressive sharpening: from well below the line, upwards at each look, and the loss falls at each step.
    assert relative[0] < 0.4
    assert np.all(np.diff(relative[before]) > 0)
    assert loss.loc[: reached - 150].diff().dropna().lt(0).all()
    # At the edge: within a tenth of the line, while the loss rises at times and falls over long times.
    assert after.sum() > 10
    assert np.all((relative[after] > 0.9) & (relative[after] < 1.1))
    assert loss.loc[reached:].diff().gt(0).sum() > 50
    assert loss.iloc[-1] < loss.loc[reached] / 3
    assert {"loss", "curvature"} <= drawn(found)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.6, 1.0])
def test_the_line_moves_with_the_rate(run, rate):
    steps, relative = sharpness(run("edge_of_stability", f"optimizer.lr={rate}", "log_every=50"))
    late = relative[steps >= 2000]
    assert np.all((late > 0.9) & (late < 1.15))
