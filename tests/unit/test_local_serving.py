"""What the part that deploys the services makes of the states that Serve reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.local import deploy
from cluster.local.deploy import NotServing

ALL_RUN = {"shop": "RUNNING", "crm": "RUNNING"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_LOOK_EVERY_S", 0.001)


def reported(states: Iterator[dict[str, str] | Exception]) -> Callable[[], dict[str, Any]]:
    """Serve's details, one of ``states`` a call: an application's status by its name, or what the call raises."""

    def details() -> dict[str, Any]:
        state = next(states)
        if isinstance(state, Exception):
            raise state
        return {"applications": {name: {"status": status, "message": "why "} for name, status in state.items()}}

    return details


def test_an_unhealthy_application_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    ill = {"shop": "UNHEALTHY", "crm": "RUNNING"}
    states = iter([{}, {"shop": "DEPLOYING"}, ill, ill, ConnectionError(), ill, ALL_RUN])
    deploy._wait(reported(states))
    assert next(states, None) is None
    assert capsys.readouterr().out.splitlines() == [
        "shop is unhealthy: why", "Ray's head does not answer (ConnectionError)",
    ]  # fmt: skip


def test_an_application_that_cannot_be_deployed_is_an_error() -> None:
    with pytest.raises(NotServing, match="crm can't be served: why"):
        deploy._wait(reported(iter([{"shop": "RUNNING", "crm": "DEPLOY_FAILED"}])))


def test_it_stays_until_nothing_answers_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_AWAY_AT_MOST_S", 0.2)
    states = iter([ALL_RUN, TimeoutError(), {}, ALL_RUN])

    def away_at_last() -> Iterator[dict[str, str] | Exception]:
        yield from states
        while True:
            yield TimeoutError()

    deploy._stay(reported(away_at_last()))
    assert next(states, None) is None
