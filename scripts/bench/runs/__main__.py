"""The command line of `scripts/bench_runs`."""

import sys
from collections.abc import Sequence

from bench.command import Benchmark
from bench.runs import lbfgs, sgd, start

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
    return _BENCHMARK.carry_out(_BENCHMARK.parser().parse_args(arguments), quick_seeds=1)


if __name__ == "__main__":
    sys.exit(main())
