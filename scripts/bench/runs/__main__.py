"""The command line of `scripts/bench_runs`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.command import Benchmark
from bench.runs import lbfgs, sgd, start
from bench.setting import Setting

_BENCHMARK = Benchmark(
    program="scripts/bench_runs",
    description="Sets whole runs of hessrun, as their records time them, beside bare PyTorch: loops on the same model "
    "and the same batches, and the time from the command to the first step beside `import torch`. Ratios are ours / "
    "peer, in one run.",
    sections={"sgd": sgd.rows, "lbfgs": lbfgs.rows, "start": start.rows},
    packages={},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections that were named, all by default; 0 where it ran, whatever the bars say."""
    chosen = _BENCHMARK.parser().parse_args(arguments)
    reason = _BENCHMARK.reason_to_refuse(chosen)
    if reason is not None:
        return _BENCHMARK.refuse(reason)
    setting = Setting(
        device=torch.device(chosen.device),
        is_quick=chosen.quick,
        with_slow_peers=False,
        seeds=1 if chosen.quick else 9,
        out=Path("outputs/bench"),
        fashion_mnist=chosen.fashion_mnist,
    )
    return _BENCHMARK.measure(chosen.sections, setting)


if __name__ == "__main__":
    sys.exit(main())
