"""Clients that wait for a server say so seldom."""

from __future__ import annotations

import logging

import pytest

from serve_app.kit.logging import RateLimitFilter, configure_logging


def test_a_kind_of_message_passes_once_in_a_while() -> None:
    seldom = RateLimitFilter(every_s=3600)
    passed = [seldom.filter(told(name, "no %s", n)) for n in range(3) for name in ("a", "b")]
    assert passed == [True, True, False, False, False, False]
    assert RateLimitFilter(every_s=0).filter(told("a", "no", 0))


def test_kafkas_clients_are_heard_once_and_not_at_every_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    for _ in range(100):
        logging.getLogger("aiokafka.client").error("Unable connect to node with id %s", 1)
    assert capsys.readouterr().err == "Unable connect to node with id 1\n"


def told(name: str, message: str, argument: int) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, (argument,) if "%" in message else (), None)
