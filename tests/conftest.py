"""For all tests: hypothesis asserts no times, which belong to benchmarks; others' warnings are filtered.

`make test TEST_JOBS=2` runs two processes. Tests that start servers mostly wait: they stay together and in order in one
of them, and the other takes the files of all other tests.
"""

from __future__ import annotations

from typing import Any

import authlib.deprecate  # noqa: F401 - puts its own warning filter first: before those of pytest, not after them
import pytest
from hypothesis import settings

settings.register_profile("facet", deadline=None)
settings.load_profile("facet")

_WITH_SERVERS = ("tests/chaos/", "tests/integration/", "tests/services/")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests with servers first in processes of xdist: a session fixture of the unit tests forbids Ray."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_WITH_SERVERS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return xdist's scheduler for two kinds of groups: all tests with servers, and each other file."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "servers" if nodeid.startswith(_WITH_SERVERS) else nodeid.partition("::")[0]

    return Scheduler(config, log)
