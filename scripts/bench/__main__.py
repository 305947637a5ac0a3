"""The command line of `scripts/bench_optimizers`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench import dense, lbfgs_free, lbfgs_target, newton, order, problems, ranks, streaming
from bench.command import Benchmark
from bench.peers import PACKAGES
from bench.setting import Setting

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
    reason = _BENCHMARK.reason_to_refuse(chosen)
    if reason is not None:
        return _BENCHMARK.refuse(reason)
    if chosen.seeds < 1:
        return _BENCHMARK.refuse(f"--seeds {chosen.seeds}: must be 1 or above.")
    setting = Setting(
        device=torch.device(chosen.device),
        is_quick=chosen.quick,
        with_slow_peers=chosen.all,
        seeds=2 if chosen.quick else chosen.seeds,
        out=chosen.out,
        fashion_mnist=chosen.fashion_mnist,
    )
    return _BENCHMARK.measure(chosen.sections, setting)


if __name__ == "__main__":
    sys.exit(main())
