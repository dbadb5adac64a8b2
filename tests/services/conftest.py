"""One stack for all tests of the services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pricing_engine.mesh.samples import SAMPLES
from tests.services.stack import Stack, running


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The local stack with real servers, up before the first test here and down after the last."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def band(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ring that can be made."""
    return SAMPLES["band"]().write_stl(tmp_path_factory.mktemp("models")).read_bytes()
