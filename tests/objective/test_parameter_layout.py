"""Where each parameter stands in the flat vector."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hessrun.objective.layout import ParameterLayout

shapes = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5)


@settings(deadline=None)
@given(shapes)
def test_views_partition_the_vector_in_order_and_share_its_memory(each):
    module = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in each])
    layout = ParameterLayout.of(module)
    x = torch.arange(float(layout.dim))
    views = layout.views(x)
    assert [tuple(view.shape) for view in views] == each
    assert torch.equal(torch.cat([view.reshape(-1) for view in views]), x)
    views[-1].fill_(-1)
    assert x[-1] == -1


def test_frozen_parameters_are_no_part_of_it():
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    layout = ParameterLayout.of(module)
    assert layout.names == ("weight",)
    assert layout.dim == 6
    assert list(layout.named(torch.zeros(6))) == ["weight"]


def test_the_first_pattern_that_matches_counts():
    layout = ParameterLayout.of(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)))
    assert layout.per_parameter({"1.*": 2.0, "*.weight": 3.0}, option="w") == [3.0, 0.0, 2.0, 2.0]
