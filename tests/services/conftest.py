"""One stack for all tests of the services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pricing_engine.mesh.samples import SAMPLES
from tests.services.stack import OTHER_PARTNER, Stack, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that kills comes last of those that share the stack: what it stirs up would be the others' failure."""
    here = [at for at, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[at] for at in here), key=lambda item: item.path.name == "test_kills.py")
    for at, item in zip(here, ordered, strict=True):
        items[at] = item


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The local stack with real servers, up before the first test here and down after the last."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        stack.add_partner(OTHER_PARTNER)
        yield stack


@pytest.fixture(scope="session")
def band(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ring that can be made."""
    return SAMPLES["band"]().write_stl(tmp_path_factory.mktemp("models")).read_bytes()
