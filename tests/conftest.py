"""Shared by all tests: no display, one thread where order of summation would matter to nobody."""

import matplotlib

matplotlib.use("Agg")
