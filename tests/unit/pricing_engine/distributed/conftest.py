"""A dispatcher for each test, with one slot or the number given as the fixture's parameter."""

from __future__ import annotations

import pytest

from tests.unit.pricing_engine.distributed.dispatcher_harness import Harness


@pytest.fixture
async def harness(request: pytest.FixtureRequest) -> Harness:
    """Return a dispatcher with its fakes, within the test's event loop."""
    return Harness(getattr(request, "param", 1))
