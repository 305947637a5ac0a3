"""Runs made in memory whose truth is known: no file is written unless a test needs one."""

from pathlib import Path

import numpy as np
import pytest

from hessrun.record import Run, Spectrum
from hessrun.report.groups import grouped


@pytest.fixture
def make_run():
    return _make_run


@pytest.fixture
def groups_of():
    return grouped


@pytest.fixture
def exact():
    """A spectrum of these eigenvalues at a step."""

    def spectrum(step, values, floor=1e-12):
        values = np.sort(np.array(values, dtype=float))
        negative = int((values < -floor).sum())
        return Spectrum(
            step, len(values), "exact", values, values[::-1], values, negative=negative, zero=0, noise_floor=floor
        )

    return spectrum


def _make_run(
    optimizer,
    seed=0,
    *,
    losses=None,
    norms=None,
    seconds=1.0,
    passes=1.0,
    n=4,
    details=None,
    state_bytes=8,
    state="finished",
    status="iterations_spent",
    spectra=(),
    settings=None,
    columns=None,
    folder=Path("nowhere"),
    name="made",
    **manifest,
):
    """A run with one row for each loss or gradient norm; `columns` are further columns, one value for each row."""
    rows = len(losses if losses is not None else norms)
    losses = losses if losses is not None else list(np.asarray(norms, dtype=float) ** 2)
    norms = norms if norms is not None else losses
    trace = [
        {
            "step": step,
            "seconds": step * seconds,
            "values": 0.0,
            "gradients": (step + 1) * passes,
            "products": 0.0,
            "hessian_columns": 0.0,
            "train_loss": float(losses[step]),
            "gradient_norm": float(norms[step]),
            "state_bytes": state_bytes,
        }
        | {key: values[step] for key, values in (columns or {}).items()}
        for step in range(rows)
    ]
    label = "-".join(map(str, (details or {}).values()))
    run = Run(
        path=folder / f"{optimizer}-{name}-n{n}{label}-s{seed}",
        config={"optimizer": settings or {}},
        manifest={
            "optimizer": {"name": optimizer, "minimises": "the objective"},
            "seed": seed,
            "dtype": "float64",
            "problem": {"name": name, "n_parameters": n, "n_examples": 10, "details": details or {}},
        }
        | manifest,
        status={"state": state, "status": status},
        trace=trace,
    )
    run.__dict__["spectra"] = list(spectra)  # what the cached property would read from disk
    return run
