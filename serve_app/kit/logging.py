"""Logs: one JSON object a line on stderr, which Ray keeps with the process's other output."""

from __future__ import annotations

import logging
import sys
import time

import structlog

WAITING = ("aiokafka", "psycopg.pool")
"""Loggers of clients that tell of every attempt to reach a server that is away."""
_SELDOM_S, _MOST_KINDS = 10.0, 1000


class RateLimitFilter(logging.Filter):
    """Lets messages of one kind pass once in ``every_s``: in a short outage Kafka's clients wrote megabytes."""

    def __init__(self, every_s: float = _SELDOM_S) -> None:
        super().__init__()
        self._every_s = every_s
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is time for another one of this kind."""
        kind, now = (record.name, str(record.msg)), time.monotonic()
        if now < self._passed.get(kind, -self._every_s) + self._every_s:
            return False
        if len(self._passed) >= _MOST_KINDS:
            self._passed.clear()
        self._passed[kind] = now
        return True


class _Stderr:
    """Writes to the stderr of the moment: Serve puts another one in place when a replica begins."""

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def configure_logging() -> None:
    """Let structlog write so in this process, and those who wait for servers write seldom."""
    seldom = logging.StreamHandler()
    seldom.setLevel(logging.WARNING)
    seldom.addFilter(RateLimitFilter())
    for name in WAITING:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [seldom], False
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
