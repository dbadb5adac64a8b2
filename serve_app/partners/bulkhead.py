"""A bulkhead for each webhook, so that a slow or dead one takes neither capacity nor time of the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

MAX_IN_FLIGHT = 4
"""Deliveries to one webhook at the same time."""
FAILURE_THRESHOLD, OPEN_S = 5, 30.0
"""After so many deliveries in a row without a response of the webhook, none is attempted for ``OPEN_S``."""


@dataclass(slots=True)
class _Bulkhead:
    in_flight: int = 0
    failures: int = 0
    open_until: float = 0.0


class Bulkheads:
    """The bulkheads of all webhooks, in memory: each sender finds out by itself which ones do not respond."""

    def __init__(self, open_s: float = OPEN_S) -> None:
        self._open_s = open_s
        self._bulkheads: dict[UUID, _Bulkhead] = {}

    def unavailable(self) -> list[UUID]:
        """Return the webhooks that get no delivery for now: full ones, and ones that do not respond."""
        now = time.monotonic()
        return [
            webhook_id
            for webhook_id, bulkhead in self._bulkheads.items()
            if bulkhead.in_flight >= MAX_IN_FLIGHT or now < bulkhead.open_until
        ]

    @contextmanager
    def occupy(self, webhook_id: UUID) -> Iterator[None]:
        """Count a delivery as in flight for the duration of the block."""
        bulkhead = self._bulkheads.setdefault(webhook_id, _Bulkhead())
        bulkhead.in_flight += 1
        try:
            yield
        finally:
            bulkhead.in_flight -= 1
            if not bulkhead.in_flight and not bulkhead.failures:
                self._bulkheads.pop(webhook_id, None)

    def record(self, webhook_id: UUID, responded: bool) -> None:
        """Record whether the webhook responded to a delivery in flight."""
        bulkhead = self._bulkheads[webhook_id]
        bulkhead.failures = 0 if responded else bulkhead.failures + 1
        # Once the time is over, each further failure starts it again.
        failing = bulkhead.failures >= FAILURE_THRESHOLD
        bulkhead.open_until = time.monotonic() + self._open_s if failing else 0.0
