"""The command line of `scripts/bench_curvature`."""

import sys
from collections.abc import Sequence

from bench.command import Benchmark
from bench.curvature import density, exact, products, top, warm
from bench.curvature.peers import PACKAGES

_BENCHMARK = Benchmark(
    program="scripts/bench_curvature",
    description="Sets hessrun's Hessians, eigenvalues and densities beside those of torch, PyHessian, curvlinops with "
    "scipy's eigsh, and hessian-eigenthings: one table of ratios in one run. Ratios are ours / peer where the bar is "
    "an upper one, and how many times faster ours is where it is a lower one. Each peer is set to the cheapest "
    "setting that reaches the error asked for.",
    sections={
        "exact": exact.rows,
        "products": products.rows,
        "top": top.small,
        "top-large": top.large,
        "density": density.small,
        "density-large": density.large,
        "warm": warm.rows,
    },
    packages=PACKAGES,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections that were named, all by default; 0 where it ran, whatever the bars say."""
    return _BENCHMARK.carry_out(_BENCHMARK.parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
