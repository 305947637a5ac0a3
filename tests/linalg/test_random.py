"""Random vectors come from the caller's seed, on the host; nothing of the library's own follows the default device."""

import pytest
import torch

import hessrun
from hessrun import curvature
from hessrun.linalg.random import normal, signs
from hessrun.objective import as_objective


def test_the_generator_alone_decides() -> None:
    state = torch.get_rng_state()
    draws = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        draws.append((normal(4, 2, generator=generator), signs(50, generator)))
    assert all(torch.equal(one, other) for one, other in zip(*draws, strict=True))
    assert draws[0][0].dtype == torch.float64
    assert set(draws[0][1].tolist()) == {-1, 1}
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("optimizer", [hessrun.optimizers.BFGS(), hessrun.optimizers.NewtonTrust()], ids=repr)
def test_another_default_device_changes_nothing(optimizer) -> None:
    """The device `meta` holds no numbers: whatever came to lie there would end in an error."""
    x = torch.linspace(-1, 1, 30, dtype=torch.float64)
    scales = torch.linspace(1, 9, 30, dtype=torch.float64)

    def function(x: torch.Tensor) -> torch.Tensor:
        return (scales * x.cosh()).sum()

    def results() -> list[object]:
        objective = as_objective(function, x)
        found = hessrun.minimize(function, x, optimizer=optimizer, probe=hessrun.Probe(kind="exact"))
        return [
            found.value,
            found.spectra[-1].largest.tolist(),
            curvature.trace(objective, x, products=12),
            curvature.density(objective, x, probes=2, steps=5).nodes.tolist(),
            curvature.eigenvalues(objective, x, largest=2).values.tolist(),
        ]

    expected = results()
    with torch.device("meta"):
        assert results() == expected
