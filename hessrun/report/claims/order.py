"""How fast methods converge near a minimum: Newton quadratically, gradient descent linearly, BFGS superlinearly."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hessrun.record import Run
from hessrun.report.chart import Chart, Panel, Series
from hessrun.report.claims.claim import Claim, Verdict
from hessrun.report.claims.records import (
    DENSE_NEWTON,
    GRADIENT_DESCENT,
    folders,
    interval_over,
    is_plain,
    known,
    lacking,
    precision,
    spread_words,
)
from hessrun.report.groups import Array, Entry, Group
from hessrun.report.numbers import comparable
from hessrun.report.statistics import slope
from hessrun.report.words import plural

_PAIRS = 3
_LONG = 20
_NEAR = 1e-2  # of the first gradient norm: above, a run is not near its minimum
_NEWTON_ORDER = 1.8
_LINEAR = (0.9, 1.1)
_SUBLINEAR = -0.5  # the exponent in k of 1 - e_(k+1) / e_k: 0 for linear convergence, -1 for a power of k
_BFGS_PAIRS = 10
_VERY_NEAR = 1e-6  # of the first gradient norm
_SPEEDING = 1.25
_STEADY = 1.05


@dataclass(frozen=True)
class Tail:
    """The end of a run above rounding: e_k and e_(k+1), gradient norms of consecutive steps, each [pairs]."""

    run: Run
    entry: Entry
    problem: str
    steps: Array
    now: Array
    then: Array

    @property
    def order(self) -> float:
        """The slope of log e_(k+1) against log e_k."""
        return slope(np.log(self.now), np.log(self.then))

    @property
    def rate(self) -> float:
        """The geometric mean of e_(k+1) / e_k."""
        return float(np.exp(np.mean(np.log(self.then / self.now))))

    @property
    def speeding(self) -> float:
        """What a step gains in digits in the later half of the pairs, over what it does in the earlier one.

        1 for linear convergence; infinite where the earlier half gained nothing.
        """
        gained = np.log(self.now / self.then)
        middle = len(gained) // 2
        earlier, later = float(gained[:middle].mean()), float(gained[middle:].mean())
        return later / earlier if earlier > 0 else math.inf

    @property
    def decay(self) -> float:
        """The exponent in k of 1 - e_(k+1) / e_k, from the two halves of the tail; -inf where the norm rises in one."""
        middle = len(self.now) // 2
        halves = [(self.steps[part], self.now[part], self.then[part]) for part in (slice(middle), slice(middle, None))]
        falls = [1 - float(np.exp(np.mean(np.log(then / now)))) for _, now, then in halves]
        if min(falls) <= 0:
            return -math.inf
        return float(np.log(falls[1] / falls[0]) / np.log(halves[1][0].mean() / halves[0][0].mean()))


def tail(
    run: Run, entry: Entry, problem: str, pairs: int = _PAIRS, *, half: bool = False, near: float = _NEAR
) -> Tail | None:
    """The last `pairs` pairs above 100 eps |g0|, or with `half` the last half of all, if that is more.

    None where the run did not come near its minimum, or did not log that many consecutive steps.
    """
    steps, norms = known(run, "step", "gradient_norm")
    if norms.size <= pairs or norms[0] <= 0:
        return None
    above = np.flatnonzero(norms <= 100 * precision(run) * norms[0])
    last = int(above[0]) if above.size else norms.size  # the first norm at rounding, and all after it, say nothing
    count = max(pairs, last // 2) if half else pairs
    first = last - 1 - count
    if first < 0 or norms[last - 1] > near * norms[0] or np.any(np.diff(steps[first:last]) != 1):
        return None
    return Tail(run, entry, problem, steps[first + 1 : last], norms[first : last - 1], norms[first + 1 : last])


def _tails(groups: Sequence[Group], names: Sequence[str], pairs: int = _PAIRS) -> list[Tail]:
    """The ends of the runs that came very near their minimum: farther off, a superlinear method need not show it."""
    ends = [tail(*found, pairs, near=_VERY_NEAR) for found in _runs(groups, names)]
    return [end for end in ends if end is not None]


def _runs(groups: Sequence[Group], names: Sequence[str]) -> list[tuple[Run, Entry, str]]:
    """The runs of these optimizers that did not diverge, each with its entry and its problem.

    Those that comparisons go by: not the same path twice, with diagnoses and without.
    """
    entries = [(group.title, entry) for group in groups for entry in comparable(group) if entry.name in names]
    return [(run, entry, title) for title, entry in entries for run in entry.compared if run.state != "diverged"]


def _chart(name: str, caption: str, tails: Sequence[Tail]) -> Chart:
    """Each gradient norm against the next, with lines of slope 1 and 2."""
    series = []
    for label in dict.fromkeys(end.entry.label for end in tails):
        ends = [end for end in tails if end.entry.label == label]
        x, y = np.concatenate([end.now for end in ends]), np.concatenate([end.then for end in ends])
        hover = tuple(end.run.path.name for end in ends for _ in end.now)
        series.append(Series(label, label, x, y, drawn="points", hover=hover))
    x = np.array([min(s.x.min() for s in series), max(s.x.max() for s in series)])
    corner = max(s.y.max() for s in series)
    series += [Series(f"slope {k}", "", x, corner * (x / x[1]) ** k) for k in (1, 2)]
    panel = Panel(tuple(series), "gradient norm at step k", "gradient norm at step k + 1", x_scale="log", y_scale="log")
    return Chart(name, caption, (panel,))


def _lack(what: str, pairs: int, near: float = _NEAR) -> str:
    return (
        f"0 runs of {what} hold {pairs} pairs of consecutive steps that end above 100 times rounding and below "
        f"{near:g} of the first gradient norm."
    )


def _each(values: dict[str, float], digits: int = 3) -> str:
    """`1.97 (linear-digits), 1.65 (mlp-wine)`, or of one problem `1.97`."""
    if len(values) == 1:
        return f"{next(iter(values.values())):.{digits}g}"
    return ", ".join(f"{value:.{digits}g} ({title})" for title, value in values.items())


def _by_problem(tails: Sequence[Tail], of: Callable[[Tail], float]) -> dict[str, float]:
    """By problem the median over runs of a number of their tails."""
    return {title: float(np.median([of(end) for end in ends])) for title, ends in _grouped(tails).items()}


def _grouped(tails: Sequence[Tail]) -> dict[str, list[Tail]]:
    """By problem."""
    found: dict[str, list[Tail]] = {}
    for end in tails:
        found.setdefault(end.problem, []).append(end)
    return found


def _interval(tails: Sequence[Tail], of: Callable[[Tail], float]) -> tuple[float, float] | None:
    """Of the median over the runs of one problem; None where there are several, which are no repetitions."""
    one_problem = len(_grouped(tails)) == 1
    return interval_over([end.run for end in tails], [of(end) for end in tails]) if one_problem else None


def newton_order(groups: Sequence[Group]) -> Claim:
    """Newton's method converges quadratically: the order over the last three pairs is at least 1.8."""
    name, statement = "newton_order", "Newton's method converges quadratically near a minimum."
    correction = (
        "Quadratic convergence says that the error e_k obeys |e_(k+1)| <= C |e_k|^2 once the iterate is close enough "
        "to a minimum with a positive definite, Lipschitz continuous Hessian (Nocedal and Wright, 2006, Theorem 3.5); "
        "O(theta^2) is no order of convergence."
    )
    tails = [end for end in _tails(groups, DENSE_NEWTON) if np.all(end.then < end.now)]
    if not tails:
        return lacking(name, statement, _lack("Newton's method", _PAIRS, _VERY_NEAR), correction=correction)
    medians, orders = _by_problem(tails, lambda end: end.order), [end.order for end in tails]
    reached = sum(order >= _NEWTON_ORDER for order in medians.values())
    each = f", by problem {_each(medians)}" if len(medians) > 1 else ""
    evidence = (
        f"Over the last {_PAIRS} pairs of gradient norms the order of convergence is {spread_words(orders)}{each}; it "
        f"is at least {_NEWTON_ORDER} on {reached} of {plural(len(medians), 'problem')}."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if 2 * reached >= len(medians) else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={
            "order": float(np.median(orders)),
            "least": min(orders),
            "greatest": max(orders),
            "runs": len(tails),
        }
        | {f"order: {title}": order for title, order in medians.items()},
        interval=_interval(tails, lambda end: end.order),
        runs=folders([end.run for end in tails]),
        chart=_chart("newton-order", f"Gradient norms of consecutive steps of Newton's method. {evidence}", tails),
    )


def gradient_descent_order(groups: Sequence[Group]) -> Claim:
    """Gradient descent converges linearly: the ratio of gradient norms tends to a constant below 1."""
    name, statement = "gradient_descent_order", "Gradient descent converges linearly near a minimum."
    correction = (
        "Linear convergence says that |e_(k+1)| <= r |e_k| with a constant r < 1; on a quadratic and with the best "
        "constant rate r = (kappa - 1) / (kappa + 1). O(theta) is no order of convergence, and the write-up's update "
        "lacks the learning rate: theta_(i+1) = theta_i - lr grad L(theta_i)."
    )
    ends = [tail(*found, _LONG, half=True) for found in _runs(groups, GRADIENT_DESCENT) if is_plain(found[0])]
    tails = [end for end in ends if end is not None]
    if not tails:
        return lacking(name, statement, _lack("plain gradient descent", _LONG), correction=correction)
    orders, rates, decays, gains = (
        _by_problem(tails, of)
        for of in (lambda end: end.order, lambda end: end.rate, lambda end: end.decay, lambda end: end.speeding)
    )
    linear = [title for title in orders if _is_linear(orders[title], rates[title], decays[title], gains[title])]
    told = {title: round(decay, 2) + 0.0 for title, decay in decays.items() if math.isfinite(decay)}
    changing = ""
    if told:
        words = _each(told) if len(decays) == 1 else ", ".join(f"{decay:g} ({title})" for title, decay in told.items())
        changing = f", and 1 minus that factor changes with the steps k as k to the power {words} (0 is linear, -1 "
        changing += "sublinear)"
    evidence = (
        f"The order of convergence is {spread_words([end.order for end in tails])}; a step multiplies the gradient "
        f"norm by {_each(rates, 4)}{changing}: linear on {len(linear)} of "
        f"{plural(len(orders), 'problem')}."
    )
    return Claim(
        name,
        statement,
        Verdict.SUPPORTED if 2 * len(linear) >= len(orders) else Verdict.CONTRADICTED,
        evidence,
        correction,
        numbers={"order": float(np.median([end.order for end in tails])), "runs": len(tails), "linear": len(linear)}
        | {f"rate: {title}": rate for title, rate in rates.items()}
        | {f"decay: {title}": decay for title, decay in decays.items()},
        interval=_interval(tails, lambda end: end.order),
        runs=folders([end.run for end in tails]),
        chart=_chart("gradient-descent-order", f"Consecutive gradient norms of gradient descent. {evidence}", tails),
    )


def _is_linear(order: float, rate: float, decay: float, speeding: float) -> bool:
    return _LINEAR[0] <= order <= _LINEAR[1] and rate < 1 and decay > _SUBLINEAR and speeding < _SPEEDING


def bfgs_order(groups: Sequence[Group]) -> Claim:
    """BFGS converges superlinearly: a step near the minimum gains ever more."""
    name, statement = "bfgs_order", "BFGS converges superlinearly near a minimum."
    correction = "The write-up names no order for BFGS: it is superlinear (Dennis and Moré, 1974)."
    tails = _tails(groups, ("bfgs",), _BFGS_PAIRS)
    if not tails:
        return lacking(name, statement, _lack("BFGS", _BFGS_PAIRS, _VERY_NEAR), correction=correction)
    medians, gains = _by_problem(tails, lambda end: end.speeding), [end.speeding for end in tails]
    reached = sum(gain >= _SPEEDING for gain in medians.values())
    verdict = Verdict.NOT_ENOUGH_DATA  # a gain between the two may be the way to the asymptotic one
    if 2 * reached >= len(medians):
        verdict = Verdict.SUPPORTED
    elif 2 * sum(gain < _STEADY for gain in medians.values()) > len(medians):
        verdict = Verdict.CONTRADICTED
    evidence = (
        f"Over the last {_BFGS_PAIRS} pairs of gradient norms a step of the later half gained as many digits as one "
        f"of the earlier half times {spread_words(gains)}; at least {_SPEEDING} times on {reached} of "
        f"{plural(len(medians), 'problem')}."
    )
    return Claim(
        name,
        statement,
        verdict,
        evidence,
        correction,
        numbers={"gain": float(np.median(gains)), "least": min(gains), "greatest": max(gains), "runs": len(tails)},
        interval=_interval(tails, lambda end: end.speeding),
        runs=folders([end.run for end in tails]),
        chart=_chart("bfgs-order", f"Gradient norms of consecutive steps of BFGS. {evidence}", tails),
    )
