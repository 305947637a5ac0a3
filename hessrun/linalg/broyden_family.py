"""The Broyden family as coefficients of one additive update: H+ = tau H + [s u] C [s u]' with u = H y.

Legend: y's, the pair's curvature; yu = y'H y; sBs = s'B s, B = H^-1 being the Hessian's approximation. All three are
above 0 where H is positive definite and the pair was not skipped; every H+ then has H+ y = s and is positive definite.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Update:
    """tau > 0 and the symmetric 2 x 2 matrix C."""

    tau: float
    c11: float
    c12: float
    c22: float

    def fits(self, dtype: torch.dtype) -> bool:
        """The coefficients are numbers of this type: 1 / y's may overflow in float32."""
        limit = torch.finfo(dtype).max
        return all(abs(c) <= limit for c in (self.c11, self.c12, self.c22))


def bfgs(ys: float, yu: float) -> Update:
    """H+ = (I - rho s y') H (I - rho y s') + rho s s', rho = 1 / y's (Nocedal & Wright, 2006, eq. 6.17)."""
    rho = 1.0 / ys
    return Update(1.0, rho * (1.0 + rho * yu), -rho, 0.0)


def dfp(ys: float, yu: float) -> Update:
    """H+ = H - u u' / y'u + s s' / y's (Nocedal & Wright, 2006, eq. 6.15)."""
    return Update(1.0, 1.0 / ys, 0.0, -1.0 / yu)


def broyden(ys: float, yu: float, s_bs: float, phi: float) -> Update:
    """The inverse of B+ = (1 - phi) B_BFGS + phi B_DFP, phi in [0, 1] (Nocedal & Wright, 2006, eq. 6.32).

    In terms of H it is the mixture psi H_BFGS + (1 - psi) H_DFP with
    psi = (1 - phi) / (1 + phi (mu - 1)), mu = s'B s y'H y / (y's)^2 >= 1 (Fletcher, 1970).
    """
    mu = (s_bs / ys) * (yu / ys)
    psi = (1.0 - phi) / (1.0 + phi * (mu - 1.0))
    a, b = bfgs(ys, yu), dfp(ys, yu)
    return Update(1.0, psi * a.c11 + (1 - psi) * b.c11, psi * a.c12, (1 - psi) * b.c22)


def self_scaled_bfgs(ys: float, yu: float, s_bs: float) -> Update:
    """BFGS on the matrix B scaled by min(1, y's / s'B s) before the update (Oren and Luenberger, 1974; Al-Baali, 1998).

    H is scaled by the inverse, so that H grows where B overestimates the curvature along s, and never shrinks.
    """
    tau = max(1.0, s_bs / ys)
    plain = bfgs(ys, tau * yu)
    return Update(tau, plain.c11, tau * plain.c12, 0.0)


def symmetric_rank_one(rs: float) -> Update:
    """SR1 on B with [s r], r = y - B s and rs = r's, not 0: B+ = B + r r' / r's (Nocedal & Wright, 2006, eq. 6.24)."""
    return Update(1.0, 0.0, 0.0, 1.0 / rs)


def powell_weight(ys: float, s_bs: float) -> float:
    """theta of Powell's damping, in (0, 1]: y is replaced by theta y + (1 - theta) B s, so that y's >= 0.2 s'B s.

    Nocedal & Wright (2006), procedure 18.2.
    """
    return 1.0 if ys >= 0.2 * s_bs else 0.8 * s_bs / (s_bs - ys)
