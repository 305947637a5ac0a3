"""What a run leaves on disk: the names of its files and the columns of its rows.

    config.yaml          the resolved configuration
    manifest.json        what ran: problem, optimizer, versions, device, threads, seed
    trace.jsonl          one row per recorded step, appended and flushed; trace.jsonl.gz in a compact record
    spectra/000120.npz   what a probe saw at step 120
    points/000120.npz    the vector it saw (array `x`)
    checkpoint.pt        the newest state, and checkpoint.previous.pt the one before; at the end also the final vector
    status.json          how the run stands, and why
    run.log              what the run had to say

A pass is one evaluation of all training examples: a gradient of a minibatch of B examples of N counts B/N.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
TRACE = "trace.jsonl"
TRACE_PACKED = "trace.jsonl.gz"
SPECTRA = "spectra"
POINTS = "points"
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_PREVIOUS = "checkpoint.previous.pt"
STATUS = "status.json"
LOG = "run.log"
# While it runs: the lock that names the holder, bytes kept free for the last words, and a file that is not yet whole.
LOCK = ".lock"
RESERVE = ".reserve"
PARTIAL = "partial.npz"


def step_file(folder: str, step: int) -> Path:
    """The file of a step below the run's folder, for example `spectra/000120.npz`."""
    return Path(folder) / f"{step:06d}.npz"


# Columns of the trace that are told together: evaluations by kind, in passes; and the four clocks, in seconds.
PASSES = ("values", "gradients", "products", "hessian_columns")
CLOCKS = ("seconds", "seconds_metrics", "seconds_curvature", "seconds_logging")


def passes_of(row: Mapping[str, Any]) -> float:
    """Passes over the data until a row, of all kinds together; a kind that the row lacks counts 0."""
    return float(sum(row.get(kind, 0.0) for kind in PASSES))


@dataclass(frozen=True)
class Column:
    """A column of the trace: its name, its unit and what it says."""

    name: str
    unit: str
    meaning: str


COLUMNS = (
    Column("step", "iterations", "outer iterations of the optimizer so far"),
    Column("seconds", "s", "the optimizer's own time: the wall time of a comparison"),
    Column("seconds_metrics", "s", "time spent on evaluating losses and accuracies for this record"),
    Column("seconds_curvature", "s", "time spent on the probe's spectra"),
    Column("seconds_logging", "s", "time spent on writing"),
    Column("values", "passes", "evaluations of the loss alone"),
    Column("gradients", "passes", "evaluations of the loss with its gradient"),
    Column("products", "passes", "Hessian-vector products"),
    Column("hessian_columns", "passes", "columns propagated to form Hessians"),
    Column("train_loss", "loss", "what is minimised: mean loss over the training split plus weight decay"),
    Column("gradient_norm", "loss", "2-norm of its gradient"),
    Column("gradient_max", "loss", "largest component of its gradient"),
    Column("step_size", "1", "step length along the direction, or learning rate"),
    Column("validation_loss", "loss", "mean loss over the validation split, without weight decay"),
    Column("validation_accuracy", "fraction", "share of the validation split that is classified right"),
    Column("test_loss", "loss", "mean loss over the test split, without weight decay"),
    Column("test_accuracy", "fraction", "share of the test split that is classified right"),
    Column("state_bytes", "bytes", "memory of the optimizer's state"),
)
