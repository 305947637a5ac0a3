"""The write-up's assertions, each a test on the records: `claims_of(groups)`."""

from collections.abc import Sequence

from hessrun.report.claims import conditioning, cost, faster, indefinite, matrix, order, pairs
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.groups import Group

__all__ = ["Claim", "Verdict", "claims_of"]

_TESTS = (
    order.gradient_descent_order,
    order.newton_order,
    order.bfgs_order,
    faster.faster_by_iteration,
    faster.faster_by_pass,
    faster.faster_by_clock,
    cost.newton_step_cost,
    cost.newton_impractical,
    cost.bfgs_step_cost,
    cost.lbfgs_step_cost,
    indefinite.hessian_indefinite,
    indefinite.negative_share_falls,
    indefinite.indefinite_no_minimum,
    indefinite.condition_number_formula,
    conditioning.condition_gradient_descent,
    conditioning.condition_newton,
    conditioning.condition_oscillation,
    conditioning.condition_second_order,
    conditioning.condition_slow,
    matrix.bfgs_symmetric,
    matrix.bfgs_positive_definite,
    matrix.bfgs_secant,
    matrix.bfgs_close,
    matrix.bfgs_dennis_more,
    pairs.dfp_versus_bfgs,
    pairs.lbfgs_over_bfgs,
)


def claims_of(groups: Sequence[Group]) -> list[Claim]:
    """The verdict on each assertion, in the write-up's order."""
    return [test(groups) for test in _TESTS]
