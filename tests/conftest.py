"""For all tests: hypothesis asserts no times, which belong to benchmarks; others' warnings are filtered.

`make test` runs several processes. Tests that share a server stay together and in order: each group of them is one unit
of work, started first, because it mostly waits; the files of all other tests follow in whichever process is free.
"""

from __future__ import annotations

from typing import Any

import authlib.deprecate  # noqa: F401 - puts its own warning filter first: before those of pytest, not after them
import pytest
from hypothesis import Phase, settings

settings.register_profile("facet", deadline=None)
settings.load_profile("facet")
# For `make mutate`: each mutant has the same examples, and a killed one costs no search for a smaller example.
settings.register_profile(
    "mutation", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)

_SHARED_SERVERS = {
    "tests/services/": "services",
    "tests/integration/data/": "databases",
    "tests/integration/serve_app/": "databases",
    "tests/integration/": "ray",
    "tests/chaos/": "ray",
}
"""Folder -> the group of the servers that its tests share; the first that matches."""
_GROUPS = [*dict.fromkeys(_SHARED_SERVERS.values())]


def _group(nodeid: str) -> str:
    """Return the unit of work of a test: a group of servers, else its file."""
    groups = (group for folder, group in _SHARED_SERVERS.items() if nodeid.startswith(folder))
    return next(groups, nodeid.partition("::")[0])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests for processes of xdist: the groups first."""

    def place(item: pytest.Item) -> int:
        group = _group(item.nodeid)
        return _GROUPS.index(group) if group in _GROUPS else len(_GROUPS)

    if hasattr(config, "workerinput"):
        items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return xdist's scheduler for these units of work."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Scheduler(config, log)
