"""The report of many made-up runs: seconds, peak memory and the size of the page beside their bars."""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hessrun.record import COLUMNS, RunWriter, Spectrum
from hessrun.record.schema import PASSES

_OPTIMIZERS = ("gd", "sgd", "adam", "newton", "newton_cg", "bfgs", "dfp", "sr1", "lbfgs", "torch_lbfgs")
_SEEDS = 10
_PROBED = (0, 10, 100)
_BARS = {"seconds": 30.0, "GiB at most": 2.0, "MB of the page": 15.0}


def main() -> int:
    """Make the runs, report on them twice, and print a line for each bar; 0 where they hold."""
    parser = argparse.ArgumentParser(prog="scripts/bench_report", description=__doc__)
    parser.add_argument("--problems", type=int, default=10, help="100 runs each (10)")
    parser.add_argument("--rows", type=int, default=1000, help="of a run (1000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each on a core (1)")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the made-up runs, and is used again")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: chosen.jobs])
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary) / "runs"
        if not folder.exists():
            _make(folder, chosen.problems, chosen.rows)
        out = Path(temporary) / "report"
        first, size = _timed(folder, out, chosen.jobs)
        again, _ = _timed(folder, out, chosen.jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if chosen.jobs > 1:  # as though each of them had been as large as the largest
        peak += chosen.jobs * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    measured = dict(zip(_BARS, (first, peak, size / 1e6), strict=True))
    for name, bar in _BARS.items():
        print(f"{name:>16} {measured[name]:8.2f}  bar {bar:g}  {'holds' if measured[name] <= bar else 'MISSED'}")
    print(f"{'seconds, again':>16} {again:8.2f}  with the rows that the first had read")
    return int(any(measured[name] > bar for name, bar in _BARS.items()))


def _timed(runs: Path, out: Path, jobs: int) -> tuple[float, int]:
    from hessrun.report import build

    start = time.perf_counter()
    paths = build([runs], out, jobs=jobs)
    return time.perf_counter() - start, paths.html.stat().st_size


def _make(folder: Path, problems: int, rows: int) -> None:
    print(f"making {problems * len(_OPTIMIZERS) * _SEEDS} runs of {rows} rows", file=sys.stderr)
    for problem in range(problems):
        for rank, optimizer in enumerate(_OPTIMIZERS):
            for seed in range(_SEEDS):
                _make_run(folder, problem, rank, optimizer, seed, rows)


def _make_run(folder: Path, problem: int, rank: int, optimizer: str, seed: int, rows: int) -> None:
    generator = np.random.default_rng([problem, rank, seed])
    steps = np.arange(rows)
    noise = np.exp(0.05 * generator.standard_normal(rows))
    loss = 1e-3 * (problem + 1) + np.exp(-steps * (rank + 1) / 200) * noise
    table = {column.name: generator.random(rows) for column in COLUMNS}
    table |= {"step": steps, "train_loss": loss, "gradient_norm": np.sqrt(loss), "seconds": steps * 1e-3 * (rank + 1)}
    table |= dict.fromkeys(PASSES, steps * 1.0)
    manifest = {
        "optimizer": {"name": optimizer, "minimises": "the objective"},
        "problem": {"name": f"problem-{problem}", "n_parameters": 64, "n_examples": 1000, "known_minimum": None},
        "seed": seed,
        "dtype": "float64",
        "device": "cpu",
        "threads": 1,
        "protocol": 2,
        "warnings": [],
    }
    run = folder / f"{optimizer}-problem-{problem}-s{seed}"
    config = f"optimizer:\n  _target_: made.{optimizer}\n  lr: 0.1\nbudget:\n  iterations: {rows - 1}\n"
    with RunWriter(run, config=config, manifest=manifest) as writer:
        for step in _PROBED:
            values = np.sort(generator.standard_normal(64)) + 0.01 * step
            seen = Spectrum(
                step, 64, "exact", values, values[::-1], values, negative=int((values < 0).sum()), zero=0,
                condition_number=float(np.abs(values).max() / np.abs(values).min()), noise_floor=1e-12,
                noise_floor_source="made up",
            )  # fmt: skip
            writer.spectrum(seen, np.zeros(64))
        writer.status(state="finished", status="iterations_spent", reason="The budget of iterations is spent.")
    names = list(table)
    columns = [values.tolist() for values in table.values()]
    lines = (json.dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
    (run / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
