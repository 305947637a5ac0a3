"""Self-scaled BFGS."""

from dataclasses import dataclass

from hessrun.linalg.broyden_family import Update, self_scaled_bfgs
from hessrun.optimizers.dense_quasi_newton import DenseQuasiNewton


@dataclass(frozen=True)
class SSBFGS(DenseQuasiNewton):
    """BFGS whose matrix B is scaled by min(1, y's / s'B s) before each update (Al-Baali, 1998).

    It forgets curvature that is overestimated at once where BFGS takes many steps; used to train physics-informed
    networks (Urbán, Stefanou and Pons, 2025).
    """

    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        return self_scaled_bfgs(ys, yu, s_bs)
