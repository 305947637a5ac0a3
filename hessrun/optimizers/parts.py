"""Which parameters an algorithm of torch's or a third party's is given, and with which settings."""

import fnmatch
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from hessrun.errors import OptionError
from hessrun.options import integer, nearest

Algorithm = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Part:
    """Some of the parameters, with an algorithm or settings of their own; the first part that fits a parameter has it.

    pattern: a glob on parameter names, in which case counts; `*`, for all that are left, may find none left.
    ndim: the number of dimensions of the parameters, 0 or above (2: the weight matrices); None takes any.
    algorithm: a torch.optim.Optimizer class, or a callable that makes one; None takes that of the `TorchOptimizer`.
    settings: its keyword arguments; where the algorithm is the `TorchOptimizer`'s, they are laid over its settings.

    Raises OptionError for an ndim below 0, and for a pattern that is no word.
    """

    pattern: str = "*"
    ndim: int | None = None
    algorithm: Algorithm | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise OptionError(f"pattern={self.pattern!r}: must be a glob on parameter names, such as '*.bias' or '*'")
        if self.ndim is not None:
            integer("ndim", self.ndim, minimum=0)

    @property
    def name(self) -> str:
        """The name of its algorithm, for messages."""
        return str(getattr(self.algorithm, "__name__", type(self.algorithm).__name__))

    def completed(self, algorithm: Algorithm | None, settings: Mapping[str, Any]) -> "Part":
        """This part with its algorithm and all its settings, given those that it falls back on.

        Raises OptionError where there is no algorithm, and for a setting that the algorithm does not take.
        """
        if self.algorithm is not None:
            algorithm, settings = self.algorithm, {}
        settings = {**settings, **self.settings}
        bound: Any = algorithm
        while isinstance(bound, functools.partial) and not bound.args:
            bound, settings = bound.func, {**bound.keywords, **settings}
        if not callable(bound):
            got = "none" if bound is None else repr(bound)
            raise OptionError(
                f"The part '{self.pattern}' needs an algorithm, a torch.optim.Optimizer class or a callable that makes "
                f"one; it has {got}."
            )
        made = replace(self, algorithm=bound, settings=settings)
        made._refuse_unknown_settings()
        return made

    def _refuse_unknown_settings(self) -> None:
        known = self._options()
        if any(option.kind is inspect.Parameter.VAR_KEYWORD for option in known.values()):
            return
        names = [*known][1:]
        for name in self.settings:
            if name not in names:
                raise OptionError(
                    f"{self.name} has no option '{name}'; it takes {', '.join(names)}.{nearest(name, names)}"
                )

    def _options(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.algorithm).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):  # compiled: it says itself what it does not take
            anything = inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)
            return {"params": inspect.Parameter("params", inspect.Parameter.POSITIONAL_ONLY), "settings": anything}

    def start(self, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Its optimizer on these parameters; `weight_decay` is 0 unless it is set.

        Raises OptionError, with the algorithm's own words, where it refuses the parameters or the settings.
        """
        if self.algorithm is None:
            raise OptionError(f"The part '{self.pattern}' needs an algorithm.")
        settings = dict(self.settings)
        if "weight_decay" in self._options():
            settings.setdefault("weight_decay", 0.0)
        try:
            made = self.algorithm(list(parameters), **settings)
        except Exception as error:  # whatever a third party raises, it refuses what it was given
            raise OptionError(f"{self.name}: {' '.join(str(error).split())}") from error
        if not isinstance(made, torch.optim.Optimizer):
            raise OptionError(f"{self.name} must make a torch.optim.Optimizer; it made a {type(made).__name__}.")
        self._refuse_swallowed_settings(made)
        if "weight_decay" not in settings:
            for group in made.param_groups:
                if group.get("weight_decay"):
                    group["weight_decay"] = 0.0
        return made

    def _refuse_swallowed_settings(self, made: torch.optim.Optimizer) -> None:
        """A class that takes any keyword keeps those that it knows, in its groups or on itself, and drops the rest."""
        if not inspect.isclass(self.algorithm):
            return
        named = [name for name, o in self._options().items() if o.kind is not inspect.Parameter.VAR_KEYWORD][1:]
        for name in self.settings:
            if name not in named and name not in made.param_groups[0] and not hasattr(made, name):
                raise OptionError(
                    f"{self.name} has no option '{name}'; it takes {', '.join(named)}.{nearest(name, named)}"
                )


def allot(parts: Sequence[Part], views: Mapping[str, Tensor]) -> list[list[str]]:
    """The names of each part's parameters; the first part that fits a parameter has it.

    Raises OptionError for a parameter that no part fits, and for a part other than `*` that is left with none.
    """
    taken: list[list[str]] = [[] for _ in parts]
    for name, view in views.items():
        for part, names in zip(parts, taken, strict=True):
            if fnmatch.fnmatchcase(name, part.pattern) and part.ndim in (None, view.ndim):
                names.append(name)
                break
        else:
            raise OptionError(
                f"parts: none of them takes the parameter '{name}' {list(view.shape)}; end with a part of the pattern "
                "'*', which takes the rest."
            )
    for part, names in zip(parts, taken, strict=True):
        if not names and part.pattern != "*":
            fit = [name for name in views if fnmatch.fnmatchcase(name, part.pattern)]
            dimensions = "" if part.ndim is None else f" with ndim={part.ndim}"
            raise OptionError(
                f"parts: an earlier part takes all that '{part.pattern}'{dimensions} could: put it first."
                if fit and part.ndim is None
                else f"parts: no parameter{' left' if fit else ''} matches '{part.pattern}'{dimensions}; there are "
                f"{', '.join(f'{name} {list(view.shape)}' for name, view in views.items())}."
            )
    return taken
