"""Deployment: reactions to the states that Serve reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.local import deploy
from cluster.local.deploy import DeployFailed

State = dict[str, str] | Exception
"""Statuses by application, or the exception that the request raises."""
ALL_RUN = {"shop": "RUNNING", "crm": "RUNNING"}


@pytest.fixture(autouse=True)
def _fast_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_START_INTERVAL_S", 0.001)
    monkeypatch.setattr(deploy, "_WATCH_INTERVAL_S", 0.001)


def status_source(states: Iterator[State]) -> Callable[[], dict[str, Any]]:
    """Return a source of Serve details, one of ``states`` per call: statuses by name, or an exception to raise."""

    def details() -> dict[str, Any]:
        state = next(states)
        if isinstance(state, Exception):
            raise state
        return {"applications": {name: {"status": status, "message": "why "} for name, status in state.items()}}

    return details


def test_wait_tolerates_an_unhealthy_application(capsys: pytest.CaptureFixture[str]) -> None:
    unhealthy = {"shop": "UNHEALTHY", "crm": "RUNNING"}
    states: Iterator[State] = iter(
        [{}, {"shop": "DEPLOYING"}, unhealthy, unhealthy, ConnectionError(), unhealthy, ALL_RUN]
    )
    deploy._wait(status_source(states))
    assert next(states, None) is None
    assert capsys.readouterr().out.splitlines() == [
        "shop is unhealthy: why", "Ray's head does not answer (ConnectionError)",
    ]  # fmt: skip


def test_a_failed_deployment_is_an_error() -> None:
    with pytest.raises(DeployFailed, match="crm can't be deployed: why"):
        deploy._wait(status_source(iter([{"shop": "RUNNING", "crm": "DEPLOY_FAILED"}])))


def test_watch_returns_once_the_head_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_HEAD_TIMEOUT_S", 0.2)
    states: Iterator[State] = iter([ALL_RUN, TimeoutError(), {}, ALL_RUN])

    def then_unreachable() -> Iterator[State]:
        yield from states
        while True:
            yield TimeoutError()

    deploy._watch(status_source(then_unreachable()))
    assert next(states, None) is None
