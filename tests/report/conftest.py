"""Synthetic runs whose truth is known, written as the runner writes them."""

import importlib

import numpy as np
import pytest

from hessrun.record import RunWriter, Spectrum


@pytest.fixture
def without_figures(monkeypatch):
    """For tests of words and tables: rendering is most of the time that a report takes."""
    module = importlib.import_module("hessrun.report.contents")
    monkeypatch.setattr(module, "figures", lambda group, prefix: [])


@pytest.fixture
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
