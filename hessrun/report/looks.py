"""How an optimizer is drawn: one colour, dash and marker in all figures of a report, on paper and in the page."""

from collections.abc import Iterable
from dataclasses import dataclass

# Okabe and Ito (2008), with a brown in place of their yellow, which is too light for a line on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_KNOWN = (
    *("gd", "newton", "bfgs", "lbfgs", "adam", "sgd", "newton_cg", "torch_lbfgs"),
    *("adamw", "newton_trust", "dfp", "gauss_newton", "sr1", "broyden", "ssbfgs", "lbfgs_multibatch"),
)
_GREYS = ("--", ":", "-.", "-")


@dataclass(frozen=True)
class Look:
    """colour: `#rrggbb`; dash, marker: matplotlib's words."""

    colour: str
    dash: str
    marker: str


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look by label, such as `gd` or `gd (lr=0.1)`, for all labels of a report.

    The first label of a known optimizer has that optimizer's own look in every report; all others take the next free
    ones in order. Colours repeat from the ninth on, then with another dash and another marker.
    """
    wanted = list(dict.fromkeys(labels))
    taken: dict[str, int] = {}
    for label in wanted:
        name = label.split(" (", 1)[0]
        if name in _KNOWN and _KNOWN.index(name) not in taken.values():
            taken[label] = _KNOWN.index(name)
    for label in wanted:
        if label not in taken:
            taken[label] = next(i for i in range(len(wanted) + len(_KNOWN)) if i not in taken.values())
    return {label: _look(index) for label, index in taken.items()}


def _look(index: int) -> Look:
    turn, colour = divmod(index, len(_COLOURS))
    return Look(_COLOURS[colour], _DASHES[(index + turn) % len(_DASHES)], _MARKERS[(index + 2 * turn) % len(_MARKERS)])


def grey(index: int) -> Look:
    """The look of the index-th quantity of a panel that is no optimizer's."""
    return Look("#666666", _GREYS[index % len(_GREYS)], _MARKERS[-1 - index % len(_MARKERS)])
