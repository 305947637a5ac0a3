"""The cells of a suite: lists of overrides from a YAML of fixed values, products and zips.

base: [dataset=digits]                  overrides of every cell
product: {seed: [0, 1, 2]}              every combination of these, for every cell
cells:                                  each a mapping of what is fixed, or a list where a choice is made in turn
  - optimizer: sgd
    product: {optimizer.lr: [0.1, 1]}   every combination, for this one
  - optimizer: [bfgs, lbfgs]
    zip: {budget.iterations: [5, 9]}    the first values together, then the second ones
exclude: [{optimizer: sgd, seed: 2}]    cells that have all of these values are left out
order: random                           or `given`; random is a fixed shuffle, so that drift hits all alike
tuning: {trials: 12, seeds: [1000]}     settings that `hessrun tune` chooses first (hessrun.cli.tuning); a cell's own
                                        search_space: {lr: {low: 0.1, high: 1}} takes the place of its optimizer's,
                                        entry by entry, null leaving one out, and what a cell fixes is not searched
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hessrun.errors import OptionError
from hessrun.options import nearest

_KEYS = ("base", "product", "cells", "exclude", "order", "tuning")
_ORDERS = ("random", "given")


@dataclass(frozen=True)
class Cell:
    """words: its overrides; search_space: what it says of its optimizer's, as the YAML has it."""

    words: tuple[str, ...]
    search_space: Mapping[str, Any] = field(default_factory=dict)


def expand(suite: Mapping[str, Any], *, name: str) -> list[Cell]:
    """The cells of a suite, in the order in which they run.

    Raises OptionError, one line, for whatever is wrong with the suite.
    """
    for key in suite:
        if key not in _KEYS:
            raise OptionError(f"suite {name}: '{key}' is no key of a suite: {', '.join(_KEYS)}.{nearest(key, _KEYS)}")
    order = suite.get("order", "random")
    if order not in _ORDERS:
        raise OptionError(f"suite {name}: order={order!r}: must be one of {', '.join(_ORDERS)}.")
    base = suite.get("base") or []
    if not isinstance(base, list) or not all(isinstance(word, str) and "=" in word for word in base):
        raise OptionError(f"suite {name}: base must be a list of overrides, such as [dataset=digits].")
    entries = suite.get("cells")
    if not isinstance(entries, list) or not entries:
        raise OptionError(f"suite {name}: cells must be a list of at least one mapping.")
    excluded = [_mapping(entry, f"suite {name}: an exclude") for entry in suite.get("exclude") or []]
    outer = _product(_mapping(suite.get("product") or {}, f"suite {name}: product"), f"suite {name}")
    found: dict[tuple[str, ...], Cell] = {}
    for entry in entries:
        fixed = dict(_mapping(entry, f"suite {name}: a cell"))
        space = _mapping(fixed.pop("search_space", {}), f"suite {name}: a cell's search_space")
        for values, more in itertools.product(_values(fixed, name), outer):
            cell = values | more
            if any(all(key in cell and cell[key] == value for key, value in rule.items()) for rule in excluded):
                continue
            words = (*base, *(f"{key}={text(value)}" for key, value in cell.items()))
            if words in found:
                raise OptionError(f"suite {name}: has the cell {' '.join(words)} twice.")
            found[words] = Cell(words, space)
    if not found:
        raise OptionError(f"suite {name}: exclude leaves no cell.")
    cells = list(found.values())
    if order == "random":
        random.Random(0).shuffle(cells)  # noqa: S311  (an order, no secret)
    return cells


def _values(fixed: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    product = _mapping(fixed.pop("product", {}), f"suite {name}: a cell's product")
    zipped = _mapping(fixed.pop("zip", {}), f"suite {name}: a cell's zip")
    # A list that stands for a choice of a group is one cell each; a list that is a value belongs under product.
    choices = {key: value for key, value in fixed.items() if isinstance(value, list) and "." not in key}
    alone = {key: value for key, value in fixed.items() if key not in choices}
    for picked, product_values, zip_values in itertools.product(
        _product(choices, f"suite {name}"), _product(product, f"suite {name}"), _zip(zipped, f"suite {name}")
    ):
        yield picked | alone | zip_values | product_values


def _product(lists: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    _check_lists(lists, where)
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def _zip(lists: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    _check_lists(lists, where)
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise OptionError(f"{where}: a zip needs as many values of each: {told}.")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)] or [{}]


def _check_lists(lists: Mapping[str, Any], where: str) -> None:
    for key, values in lists.items():
        if not isinstance(values, list) or not values:
            raise OptionError(f"{where}: {key} must be a list of values; got {values!r}.")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise OptionError(f"{where} must be a mapping, such as {{optimizer: sgd}}; got {value!r}.")
    return value


def text(value: Any) -> str:
    """A value as Hydra's overrides write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(text, value)) + "]"
    return str(value)
