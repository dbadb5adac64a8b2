"""One stack for all tests of the services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pricing_engine.mesh.samples import SAMPLES
from tests.support.stack import OTHER_PARTNER, Stack, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test that kills processes last of those that share the stack: its effects would fail the others."""
    indices = [at for at, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[at] for at in indices), key=lambda item: item.path.name == "test_kills.py")
    for at, item in zip(indices, ordered, strict=True):
        items[at] = item


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the local stack with real servers, started before the first test of the folder, stopped after the last."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        stack.add_partner(OTHER_PARTNER)
        yield stack


@pytest.fixture(scope="session")
def band(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a ring that can be manufactured."""
    return SAMPLES["band"]().write_stl(tmp_path_factory.mktemp("models")).read_bytes()
