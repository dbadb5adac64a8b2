"""Logs: one JSON object a line on stderr, which Ray stores with the process's other output."""

from __future__ import annotations

import logging
import sys
import time

import structlog

CLIENT_LOGGERS = ("aiokafka", "psycopg.pool")
"""Loggers of clients that log every attempt to reach a server that is down."""
_INTERVAL_S, _MAX_KINDS = 10.0, 1000


class RateLimitFilter(logging.Filter):
    """Passes messages of one kind once in ``interval_s``: in a short outage Kafka's clients wrote megabytes."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether another message of this kind is due."""
        kind, now = (record.name, str(record.msg)), time.monotonic()
        if now < self._passed.get(kind, -self._interval_s) + self._interval_s:
            return False
        if len(self._passed) >= _MAX_KINDS:
            self._passed.clear()
        self._passed[kind] = now
        return True


class _Stderr:
    """Writes to the current ``sys.stderr``: Serve replaces it when a replica starts."""

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def configure_logging() -> None:
    """Configure structlog in this process, and limit the rate of clients that wait for servers."""
    limited = logging.StreamHandler()
    limited.setLevel(logging.WARNING)
    limited.addFilter(RateLimitFilter())
    for name in CLIENT_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [limited], False
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=True,
    )
