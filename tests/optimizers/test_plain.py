"""States as plain dictionaries: there and back, and what another version wrote."""

from dataclasses import dataclass
from enum import Enum

import pytest
import torch
from torch import Tensor

from hessrun.errors import RecordError
from hessrun.optimizers.plain import from_plain, to_plain


class _Colour(Enum):
    RED = "red"


@dataclass
class _Inner:
    values: Tensor
    colour: _Colour | None = None


@dataclass
class _Outer:
    inner: _Inner
    count: int
    other: _Inner | None = None


def test_a_state_comes_back_as_it_was():
    made = _Outer(_Inner(torch.arange(3.0), _Colour.RED), 2)
    plain = to_plain(made)
    assert plain == {"inner": {"values": made.inner.values, "colour": "red"}, "count": 2, "other": None}
    assert from_plain(_Outer, plain) == made


@pytest.mark.parametrize("change", ["lacks", "has more"])
def test_a_state_of_another_version_is_one_line(change):
    plain = to_plain(_Outer(_Inner(torch.arange(3.0)), 2))
    if change == "lacks":
        del plain["inner"]["colour"]
    else:
        plain["inner"]["shade"] = 1
    with pytest.raises(RecordError, match=r"another version .* whose _Inner differs in (colour|shade): .*force"):
        from_plain(_Outer, plain)


def test_what_a_state_may_not_hold():
    with pytest.raises(TypeError, match="got set"):
        to_plain({"a": {1, 2}})
