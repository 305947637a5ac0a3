"""An objective as a function of some of its parameters by name, the others frozen: curvature layer by layer."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.objective.base import Curvature, Evaluation, Objective
from hessrun.objective.layout import ParameterLayout
from hessrun.objective.risk import EmpiricalRisk
from hessrun.objective.sharded import ShardedRisk


def restrict(objective: Objective, x: Tensor, pattern: str | Sequence[str]) -> tuple[Objective, Tensor]:
    """f as a function of the parameters whose names match, the others frozen at x [n]; and their part z [m] of x.

    g(z) = f(x with z in the places of the matching parameters). The Hessian of g at z is the principal submatrix of
    that of f at x, and so is the Gauss-Newton matrix: whatever is computed from an objective has a form by layers.
    pattern: a glob on the names ('fc*', '0.weight'), or several of them; the names are those of `named_views`.
    It counts on the counter of `objective`, a product with g as a product. A model's risk differentiates in the
    matching parameters alone; of other objectives the whole product is made and cut.

    Raises OptionError for a pattern that matches nothing.

        >>> from torch import nn
        >>> from torch.nn import functional
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
        >>> risk = EmpiricalRisk(model, functional.mse_loss, torch.ones(4, 3), torch.zeros(4, 1))
        >>> last, z = restrict(risk, risk.x0, "2.*")
        >>> list(last.named_views(z)), tuple(last.hessian(z).shape)
        (['2.weight', '2.bias'], (3, 3))
    """
    objective._check(x)
    views = objective.named_views(x)
    names = _matching(pattern, list(views))
    z = torch.cat([views[name].detach().reshape(-1) for name in names])
    if isinstance(objective, EmpiricalRisk | ShardedRisk):
        return objective.restricted(x, names), z
    return RestrictedObjective(objective, x, names), z


def _matching(pattern: str | Sequence[str], names: Sequence[str]) -> list[str]:
    patterns = list(pattern) if isinstance(pattern, Iterable) and not isinstance(pattern, str) else [pattern]
    if not patterns:
        raise OptionError(f"No pattern of parameter names is given; there are {', '.join(names)}.")
    for each in patterns:
        if not isinstance(each, str) or not any(fnmatchcase(name, each) for name in names):
            raise OptionError(f"No parameter matches {each!r}; there are {', '.join(names)}.")
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns)]


class RestrictedObjective(Objective):
    """Any objective as a function of the named parameters [m], the others frozen at x [n]; made by `restrict`."""

    def __init__(self, objective: Objective, x: Tensor, names: Sequence[str]) -> None:
        self._objective, self._at, self._names = objective, x.detach().clone(), names
        places = objective.named_views(torch.arange(objective.dim, device=x.device))
        self._places = torch.cat([places[name].reshape(-1) for name in names])
        self._layout = ParameterLayout(tuple(names), tuple(places[name].shape for name in names))
        self.dim, self.dtype, self.device = len(self._places), objective.dtype, objective.device
        self.n_examples, self.n_batch, self.counter = objective.n_examples, objective.n_batch, objective.counter

    def named_views(self, x: Tensor) -> dict[str, Tensor]:
        return self._layout.named(x)

    def in_dtype(self, dtype: torch.dtype) -> Objective:
        """The same restriction of the objective in another dtype. Raises OptionError where there is none."""
        if dtype == self.dtype:
            return self
        return RestrictedObjective(self._objective.in_dtype(dtype), self._at.to(dtype), self._names)

    def curvature_kinds(self) -> tuple[str, ...]:
        """Those of the whole objective."""
        return self._objective.curvature_kinds()

    def _evaluate(self, x: Tensor, gradient: bool) -> Evaluation:
        whole = self._objective._evaluate(self._at.index_put((self._places,), x), gradient)
        part = None if whole.gradient_or_none is None else whole.gradient_or_none[self._places]
        return Evaluation(x, whole.value, part)

    def _curvature(self, x: Tensor, kind: str) -> Curvature:
        whole = self._objective._curvature(self._at.index_put((self._places,), x), kind)
        return _PrincipalSubmatrix(self, whole, self._places)


class _PrincipalSubmatrix(Curvature):
    """The rows and columns of a curvature matrix that stand in some places [m]."""

    def __init__(self, objective: Objective, whole: Curvature, places: Tensor) -> None:
        super().__init__(objective)
        self._whole, self._places = whole, places

    @property
    def precision(self) -> float:
        return self._whole.precision

    def _product(self, vectors: Tensor) -> Tensor:
        embedded = vectors.new_zeros(self._whole.shape[0], *vectors.shape[1:])
        embedded[self._places] = vectors
        return self._whole._product(embedded)[self._places]

    def close(self) -> None:
        self._whole.close()
