"""One look at a spectrum: of which matrix, by which method, and what it cost."""

import time
from dataclasses import replace

from torch import Tensor

from hessrun.curvature import density, extremes, spectrum
from hessrun.errors import TooLargeError
from hessrun.objective import Objective
from hessrun.options import choice, integer
from hessrun.record import Spectrum

METHODS = ("exact", "lanczos", "density")


def method_for(kind: str, n: int, exact_limit: int) -> str:
    """`kind` itself, or what `auto` means at n parameters: exact up to `exact_limit`, lanczos above."""
    if kind != "auto":
        return kind
    return "exact" if n <= exact_limit else "lanczos"


def look_at(
    objective: Objective,
    x: Tensor,
    *,
    method: str,
    matrix: str = "hessian",
    k: int = 10,
    probes: int = 10,
    steps: int = 80,
    start: Tensor | None = None,
    step: int = 0,
    cheaper: str = "method='lanczos' or 'density'",
) -> tuple[Spectrum, Tensor | None]:
    """The spectrum at x [n], with its products and its seconds; and vectors to start the next look, or None.

    method: `exact` (all eigenvalues), `lanczos` (the k at each end, 1 to n) or `density` (`probes` random vectors,
    `steps` products each). matrix: one of `objective.curvature_kinds()`. start: what an earlier look gave back.
    step: the iteration that the record names. cheaper: how the caller's user asks for less than an exact spectrum, for
    the message where that does not fit.

    Raises OptionError for options outside their ranges, TooLargeError where a matrix does not fit, NotFiniteError where
    one is not finite.
    """
    choice("method", method, METHODS)
    choice("kind", matrix, objective.curvature_kinds())
    integer("k", k, minimum=1)
    objective = objective.uncounted()
    began, memory = time.perf_counter(), None
    if method == "density":
        found = density(objective, x, probes=probes, steps=steps, kind=matrix).as_spectrum(step=step)
    elif method == "lanczos":
        found, memory = extremes(objective, x, k=k, start=start, kind=matrix, step=step)
    else:
        try:
            found = spectrum(objective, x, kind=matrix, step=step)
        except TooLargeError as error:
            raise TooLargeError(f"{error} Here that is {cheaper}.") from None
    seconds, spent = time.perf_counter() - began, objective.counts
    return replace(found, matrix=matrix, products=spent.products, seconds=seconds), memory
