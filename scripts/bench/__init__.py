"""The benchmark behind `scripts/bench_optimizers`: a section a file, each of which yields rows of one table."""
