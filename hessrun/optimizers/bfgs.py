"""BFGS with a dense inverse Hessian."""

from dataclasses import dataclass

from hessrun.linalg.broyden_family import Update, bfgs
from hessrun.optimizers.dense_quasi_newton import DenseQuasiNewton


@dataclass(frozen=True)
class BFGS(DenseQuasiNewton):
    """The Broyden-Fletcher-Goldfarb-Shanno method (Nocedal & Wright, 2006, algorithm 6.1)."""

    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        return bfgs(ys, yu)
