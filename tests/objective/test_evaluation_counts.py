"""Counts reported are calls made, in passes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hessrun.objective import EmpiricalRisk, EvaluationCounts, as_objective

# A convolution: its Hessian goes by products, n columns of them, and not by layers.
INPUTS, TARGETS = torch.ones(7, 1, 2, dtype=torch.float64), torch.ones(7, 1, 1, dtype=torch.float64)
RISK = EmpiricalRisk(nn.Conv1d(1, 1, 2).double(), functional.mse_loss, INPUTS, TARGETS)

calls = st.lists(
    st.tuples(st.sampled_from(["value", "gradient", "product", "columns", "hessian"]), st.integers(1, 7)), max_size=12
)


@settings(deadline=None)
@given(calls)
def test_counts_are_the_calls_made(made):
    x, before = RISK.x0, RISK.counts
    tally = dict.fromkeys(["value", "gradient", "product", "hessian"], 0)
    for kind, size in made:
        objective = RISK.subset(torch.arange(size))
        if kind == "value":
            objective.evaluate(x, gradient=False)
        elif kind == "gradient":
            objective.evaluate(x)
        elif kind == "hessian":
            objective.hessian(x)
        else:
            vectors = x if kind == "product" else torch.stack([x, x], dim=1)
            with objective.curvature(x) as curvature:
                _ = curvature @ vectors
        weight = {"columns": 2, "hessian": RISK.dim}.get(kind, 1)
        tally["product" if kind == "columns" else kind] += size * weight
    # The running sums are whole numbers of examples: no rounding, whatever the order.
    counts = RISK.counts
    exact = [
        round(7 * (after - start)) for after, start in zip(vars(counts).values(), vars(before).values(), strict=True)
    ]
    assert exact == list(tally.values())


def test_snapshots_subtract_and_stay_as_they_are():
    f = as_objective(lambda x: (x * x).sum(), torch.ones(2))
    first = f.counts
    f.evaluate(torch.ones(2))
    assert first == EvaluationCounts()
    assert f.counts - first == EvaluationCounts(gradients=1)


def test_an_uncounted_twin_leaves_the_counts_alone():
    f = as_objective(lambda x: (x * x).sum(), torch.ones(2))
    twin = f.uncounted()
    twin.evaluate(torch.ones(2))
    twin.hessian(torch.ones(2))
    with twin.curvature(torch.ones(2)) as curvature:
        _ = curvature @ torch.ones(2)
    assert f.counts == EvaluationCounts()
    assert twin.counts == EvaluationCounts(gradients=1, hessian_columns=2, products=1)


def test_many_small_batches_add_up_to_whole_passes():
    before = RISK.counts
    for _ in range(10):
        for i in range(7):
            RISK.subset(torch.tensor([i])).evaluate(RISK.x0)
    assert round((RISK.counts - before).gradients, 12) == 10
