"""Synthetic runs whose truth is known, written as the runner writes them."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from hessrun.record import Run, RunWriter, Spectrum
from hessrun.report.draw import Picture
from hessrun.report.groups import grouped


@pytest.fixture
def without_figures(monkeypatch):
    """For tests of words and tables: rendering is most of the time that a report takes."""
    module = importlib.import_module("hessrun.report.contents")
    monkeypatch.setattr(module, "_picture", lambda chart, looks: Picture(chart.name, chart.caption, {"svg": b"<svg/>"}))


@pytest.fixture(scope="session")
def write_run():
    return _write_run


@pytest.fixture
def text():
    return lambda paths: paths.markdown.read_text(encoding="utf-8")


def _write_run(
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
    facts=None,
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
    manifest |= facts or {}
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


@pytest.fixture
def race(make_run):
    """Runs of an optimizer that bring the loss to a tenth in `steps` iterations; each seed starts elsewhere."""

    def made(optimizer, steps, *, seeds=8, **more):
        return [
            make_run(
                optimizer,
                seed,
                losses=[(1 + 0.01 * seed) * (0.1 if k >= steps else 1 - 0.9 * k / steps) for k in range(41)],
                target=0.2,
                **more,
            )
            for seed in range(seeds)
        ]

    return made
