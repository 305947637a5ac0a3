"""Broyden's class, between BFGS and DFP."""

from dataclasses import dataclass

from hessrun.errors import OptionError
from hessrun.linalg.broyden_family import Update, broyden
from hessrun.optimizers.dense_quasi_newton import DenseQuasiNewton
from hessrun.options import non_negative


@dataclass(frozen=True)
class Broyden(DenseQuasiNewton):
    """B+ = (1 - phi) B_BFGS + phi B_DFP (Broyden, 1967; Nocedal & Wright, 2006, eq. 6.32).

    phi: in [0, 1]; 0 is BFGS, 1 is DFP.
    """

    phi: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        non_negative("phi", self.phi)
        if self.phi > 1:
            raise OptionError(f"phi={self.phi}: must be a number from 0 to 1")

    def _coefficients(self, ys: float, yu: float, s_bs: float) -> Update:
        return broyden(ys, yu, s_bs, self.phi)
