"""The benchmark behind `scripts/bench_curvature`: a section a file, each of which yields rows of one table."""
