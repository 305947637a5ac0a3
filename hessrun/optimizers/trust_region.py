"""What all trust-region methods share: when a trial is accepted, and what becomes of the radius."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hessrun.linalg.host import numbers
from hessrun.linalg.norms import norm
from hessrun.objective import Evaluation, Objective

ACCEPTED = 1e-4
_POOR, _GOOD = 0.25, 0.75


@dataclass(frozen=True)
class Trial:
    """f at x + d beside what the model predicted. gain: (f - f+) / predicted decrease, -inf where f+ or its gradient is
    not finite.
    """

    evaluation: Evaluation
    gain: float

    @property
    def is_accepted(self) -> bool:
        return self.gain > ACCEPTED


def attempt(objective: Objective, here: Evaluation, d: Tensor, predicted: Tensor | float) -> Trial:
    """Evaluate f and its gradient at x + d, with one transfer to the host.

    predicted: -(g'd + 1/2 d'B d), the model's decrease. Where rounding of f is all that is left of the decrease, the
    gain ratio says nothing, and is taken for 1 (Conn, Gould and Toint, 2000, section 17.4.2).
    """
    there = objective.evaluate(here.x + d)
    expected = torch.as_tensor(predicted, dtype=here.x.dtype, device=here.x.device)
    is_finite = there.gradient.isfinite().all().to(here.x.dtype)
    f, f_new, decrease, fine = numbers(here.value, there.value, expected, is_finite)
    if not (math.isfinite(f_new) and fine and decrease > 0):
        return Trial(there, -math.inf)
    # Sums over examples round f to a few units of eps |f|.
    level = 32 * torch.finfo(here.x.dtype).eps * abs(f)
    return Trial(there, 1.0 if decrease <= level and abs(f_new - f) <= level else (f - f_new) / decrease)


def first_radius(x: Tensor) -> float:
    """max(0.01 |x|, 1e-3): all that is known before the first trial is x's scale."""
    return max(0.01 * length_of(x), 1e-3)


def next_radius(radius: float, gain: float, length: float, on_boundary: bool) -> float:
    """Nocedal & Wright (2006), algorithm 4.1, shrinking from the step's own length |d|."""
    if gain < _POOR:
        return 0.25 * min(length, radius)
    return 2 * radius if gain > _GOOD and on_boundary else radius


def is_exhausted(x: Tensor, radius: float) -> bool:
    """No step of this length changes x in its floating-point numbers."""
    return radius <= torch.finfo(x.dtype).eps * length_of(x)


def length_of(x: Tensor) -> float:
    """|x|, also where the square of a component overflows."""
    length = float(torch.linalg.vector_norm(x))
    return length if length < math.inf else norm(x)
