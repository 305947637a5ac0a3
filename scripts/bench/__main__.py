"""The command line of `scripts/bench_optimizers`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench import dense, lbfgs_free, lbfgs_target, newton, order, problems, ranks, streaming
from bench.command import Benchmark
from bench.peers import PACKAGES

_BENCHMARK = Benchmark(
    program="scripts/bench_optimizers",
    description="Sets hessrun's optimizers beside scipy's, torch's and torchmin's: one table of ratios in one run. "
    "Ratios are ours / peer where the bar is an upper one, and how many times faster ours is where it is a lower one.",
    sections={
        "bfgs": dense.small,
        "bfgs-large": dense.large,
        "lbfgs-free": lbfgs_free.rows,
        "lbfgs-target": lbfgs_target.rows,
        "newton": newton.rows,
        "mgh": problems.rows,
        "order": order.rows,
        "ranks": ranks.rows,
        "streaming": streaming.rows,
    },
    packages=PACKAGES,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections that were named, all by default; 0 where it ran, whatever the bars say."""
    parser = _BENCHMARK.parser()
    parser.add_argument("--all", action="store_true", help="also the methods of torchmin that take minutes")
    parser.add_argument("--seeds", type=int, default=9, help="starts of lbfgs-target (9)")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder of the figures (outputs/bench)")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 1:
        return _BENCHMARK.refuse(f"--seeds {chosen.seeds}: must be 1 or above.")
    return _BENCHMARK.carry_out(chosen, seeds=chosen.seeds, with_slow_peers=chosen.all, out=chosen.out)


if __name__ == "__main__":
    sys.exit(main())
