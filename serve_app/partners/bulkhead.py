"""A lane for each webhook, so that a slow or dead one takes neither the room nor the time of the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

SHARE = 4
"""A lane with so many deliveries under way is full."""
FAILURES, REST_S = 5, 30.0
"""After so many deliveries in a row without an answer of the webhook's own, nothing is tried there for so long."""


@dataclass(slots=True)
class _Bulkhead:
    under_way: int = 0
    failures: int = 0
    rests_until: float = 0.0


class Bulkheads:
    """Who is served now. In memory alone: each sender learns by itself who does not answer."""

    def __init__(self, rest_s: float = REST_S) -> None:
        self._rest_s = rest_s
        self._lanes: dict[UUID, _Bulkhead] = {}

    def busy(self) -> list[UUID]:
        """Webhooks that nothing more is to be sent to for now: those that are full, and those that rest."""
        now = time.monotonic()
        return [webhook for webhook, lane in self._lanes.items() if lane.under_way >= SHARE or now < lane.rests_until]

    @contextmanager
    def using(self, webhook: UUID) -> Iterator[None]:
        """A delivery to it is under way for the time of the block."""
        lane = self._lanes.setdefault(webhook, _Bulkhead())
        lane.under_way += 1
        try:
            yield
        finally:
            lane.under_way -= 1
            if not lane.under_way and not lane.failures:
                self._lanes.pop(webhook, None)

    def heard(self, webhook: UUID, answered: bool) -> None:
        """Whether a delivery that is under way found somebody who answers."""
        lane = self._lanes[webhook]
        lane.failures = 0 if answered else lane.failures + 1
        # Once it has rested, each further failure makes it rest again.
        lane.rests_until = time.monotonic() + self._rest_s if lane.failures >= FAILURES else 0.0
