"""Schedules against torch's and their formulas."""

import pytest
import torch

from hessrun.errors import OptionError
from hessrun.optimizers.schedules import Constant, Cosine, InverseTime, Milestones


def theirs(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        (Cosine(steps=20, final=0.1), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1)),
        (Milestones(at=(3, 7), gamma=0.3), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 7], gamma=0.3)),
        (InverseTime(0.5), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + 0.5 * k))),
    ],
)
def test_equal_to_torch(ours, make):
    assert [ours.factor(k) for k in range(20)] == pytest.approx(theirs(make, 20), rel=1e-12)


def test_cosine_warms_up_and_stays_at_its_end():
    schedule = Cosine(steps=10, warmup=3, final=0.2)
    assert [schedule.factor(k) for k in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert schedule.factor(10) == schedule.factor(1000) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cosine(steps=0),
        lambda: Cosine(steps=5, warmup=5),
        lambda: Cosine(steps=5, final=1.0),
        lambda: Milestones(at=(-1,)),
        lambda: Milestones(at=(1,), gamma=0.0),
        lambda: InverseTime(-1.0),
    ],
)
def test_wrong_options(make):
    with pytest.raises(OptionError):
        make()
