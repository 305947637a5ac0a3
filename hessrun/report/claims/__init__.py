"""The write-up's assertions, each a test on the records: `claims_of(groups)`."""

from collections.abc import Sequence

from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.order import bfgs_order, gradient_descent_order, newton_order
from hessrun.report.groups import Group

__all__ = ["Claim", "Verdict", "claims_of"]

_TESTS = (newton_order, gradient_descent_order, bfgs_order)


def claims_of(groups: Sequence[Group]) -> list[Claim]:
    """The verdict on each assertion, in the write-up's order."""
    return [test(groups) for test in _TESTS]
