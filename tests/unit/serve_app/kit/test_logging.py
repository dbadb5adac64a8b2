"""Clients that wait for a server are logged at a limited rate."""

from __future__ import annotations

import logging

import pytest

from serve_app.kit.logging import RateLimitFilter, configure_logging


def test_one_message_of_a_kind_passes_in_an_interval() -> None:
    limited = RateLimitFilter(interval_s=3600)
    passed = [limited.filter(record(name, "no %s", n)) for n in range(3) for name in ("a", "b")]
    assert passed == [True, True, False, False, False, False]
    assert RateLimitFilter(interval_s=0).filter(record("a", "no", 0))


def test_kafka_clients_are_logged_once_and_not_at_every_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    for _ in range(100):
        logging.getLogger("aiokafka.client").error("Unable connect to node with id %s", 1)
    assert capsys.readouterr().err == "Unable connect to node with id 1\n"


def record(name: str, message: str, argument: int) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, (argument,) if "%" in message else (), None)
