"""Two or three processes, joined once for all tests of this folder that they serve."""

from collections.abc import Iterator

import pytest
from crew import Crew


@pytest.fixture(scope="session", params=[2, 3])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    """Joined ranks."""
    made = Crew(request.param, timeout=60.0)
    yield made
    made.close()
