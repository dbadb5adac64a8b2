"""For all tests: hypothesis asserts no times, which belong to benchmarks; others' warnings are filtered.

`make test` runs several processes. The files of tests without servers go to whichever process is free. Those that share
servers follow in one process, in order: they use all cores, and more load would only add to the time they wait.
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

_WITH_SERVERS = ("tests/chaos/", "tests/integration/", "tests/services/")
_SERVERS = "servers"


def _unit_of_work(nodeid: str) -> str:
    """Return what runs in one process: all tests with servers, else a file."""
    return _SERVERS if nodeid.startswith(_WITH_SERVERS) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests for processes of xdist: those with servers last."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _unit_of_work(item.nodeid) == _SERVERS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return xdist's scheduler for these units of work."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _unit_of_work(nodeid)

    return Scheduler(config, log)
