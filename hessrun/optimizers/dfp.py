"""DFP, the dual of BFGS."""

from dataclasses import dataclass

from hessrun.linalg.broyden_family import Update, dfp
from hessrun.optimizers.dense_quasi_newton import DenseQuasiNewton


@dataclass(frozen=True)
class DFP(DenseQuasiNewton):
    """The Davidon-Fletcher-Powell method (Nocedal & Wright, 2006, eq. 6.15).

    It corrects a matrix that is too large more slowly than BFGS, and so wants an accurate line search (a small c2).
    """

    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        return dfp(ys, yu)
