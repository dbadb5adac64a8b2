"""Sends webhooks: due deliveries are leased, signed (Standard Webhooks) and posted, and their outcomes recorded."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import httpx
import structlog
from psycopg.errors import ForeignKeyViolation
from standardwebhooks import Webhook

from data.kit import clock
from data.kit.database import UNAVAILABLE_ERRORS, Database
from data.partners import deliveries, repository
from data.partners.deliveries import LEASE, DueDelivery
from pricing_engine import ENGINE_VERSION
from serve_app.partners import bulkhead
from serve_app.partners.bulkhead import Bulkheads
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.ssrf_guard import AddressRefused, GuardedTransport

MAX_IN_FLIGHT = 200
"""Deliveries at the same time, of all webhooks."""
POLL_INTERVAL_S = 1.0
_MAX_RESPONSE_BYTES, _BODY_TIMEOUT_S = 1 << 16, 1.0
_MAX_MS = 2**31 - 1
SUSPENSION_S = 5.0
"""An attempt that overruns its time-out by so much was suspended: the process, the machine or the event loop."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The outcome of an attempt. ``status``: the HTTP status, None without a response; ``error``: None on success."""

    status: int | None
    error: str | None

    @property
    def responded(self) -> bool:
        """Return whether the receiver is up, even if it refused the delivery."""
        return self.status is not None and self.status < 500 and self.status != HTTPStatus.TOO_MANY_REQUESTS


class Sender:
    """Sends the deliveries of one database. Any number of senders may run; each delivery is leased by one of them.

    ``timeout_s``: for a complete attempt, from name resolution to the status of the response.
    """

    def __init__(
        self,
        database: Database,
        transport: GuardedTransport,
        timeout_s: float,
        retry_policy: RetryPolicy | None = None,
        bulkheads: Bulkheads | None = None,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._database, self._poll_interval_s = database, poll_interval_s
        self._retry_policy, self._bulkheads = retry_policy or RetryPolicy(), bulkheads or Bulkheads()
        # An attempt finishes well before its lease expires: else another sender would send it a second time.
        self._timeout_s = min(timeout_s, LEASE.total_seconds() / 2)
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": f"facet-webhooks/{ENGINE_VERSION}", "Content-Type": "application/json"},
        )
        self._wake, self._in_flight = asyncio.Event(), 0

    def wake(self) -> None:
        """Poll now instead of at the next interval, since there may be deliveries."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. Deliveries in flight are then sent again when their leases expire."""
        async with self._client, asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for due in await self._lease():
                    self._in_flight += 1
                    group.create_task(self._deliver(due), name=f"delivery {due.id}")
                try:
                    async with asyncio.timeout(self._poll_interval_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _lease(self) -> list[DueDelivery]:
        capacity = MAX_IN_FLIGHT - self._in_flight
        if capacity <= 0:
            return []
        try:
            async with self._database.transaction() as connection:
                return await deliveries.lease(
                    connection, capacity, per_webhook=bulkhead.MAX_IN_FLIGHT, busy=self._bulkheads.unavailable()
                )
        except UNAVAILABLE_ERRORS as error:
            _log.warning("webhooks wait for the database", error=str(error))
            return []

    async def _deliver(self, due: DueDelivery) -> None:
        try:
            with self._bulkheads.occupy(due.webhook_id):
                started_at = clock.instant()
                outcome = await self._post(due)
                took_s = clock.elapsed_since(started_at)
                if outcome.status is None and took_s > self._timeout_s + SUSPENSION_S:
                    await self._save_interrupted(due, took_s)
                else:
                    self._bulkheads.record(due.webhook_id, outcome.responded)
                    await self._save(due, outcome, round(1000 * took_s))
        finally:
            self._in_flight -= 1
            self.wake()  # the order's next delivery may be sent now

    async def _post(self, due: DueDelivery) -> AttemptOutcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._client.build_request(
                    "POST", due.url, content=due.body.encode(), headers=_signed_headers(due)
                )
                response = await self._client.send(request, stream=True)
        except TimeoutError:
            return AttemptOutcome(None, f"no response within {self._timeout_s:g} s")
        except AddressRefused as error:
            return AttemptOutcome(None, str(error))
        except Exception as error:  # a fault of one webhook's address, secret or server must not stop the others
            return AttemptOutcome(None, f"{type(error).__name__}: {error}"[:500])
        await _drain(response)
        return AttemptOutcome(response.status_code, None if response.is_success else f"HTTP {response.status_code}")

    async def _save(self, due: DueDelivery, outcome: AttemptOutcome, took_ms: int) -> None:
        gone = outcome.status == HTTPStatus.GONE
        delay = None if gone else self._retry_policy.delay_after(due.tries)
        try:
            async with self._database.transaction() as connection:
                await deliveries.record(connection, due, outcome.status, outcome.error, took_ms, delay)
                if gone:
                    await repository.deactivate_webhook(connection, due.webhook_id)
        except ForeignKeyViolation:
            return  # the webhook was removed meanwhile, and its deliveries with it
        except UNAVAILABLE_ERRORS as error:
            _log.warning("a delivery will be sent again", delivery=str(due.id), error=str(error))

    async def _save_interrupted(self, due: DueDelivery, took_s: float) -> None:
        """Record that this sender was suspended: not a failure of the receiver, and not one of its attempts."""
        error = f"the sender was suspended for about {took_s:.0f} s; this does not count"
        try:
            async with self._database.transaction() as connection:
                await deliveries.record_interrupted(connection, due, error, min(round(1000 * took_s), _MAX_MS))
        except ForeignKeyViolation:
            return  # the webhook was removed meanwhile
        except UNAVAILABLE_ERRORS as failure:
            _log.warning("a delivery will be sent again", delivery=str(due.id), error=str(failure))


def _signed_headers(due: DueDelivery) -> dict[str, str]:
    """Return the headers of Standard Webhooks; the time is that of this attempt, since receivers refuse old ones."""
    now, message_id = clock.now(), str(due.event_id)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(due.secret).sign(message_id, now, due.body),
    }


async def _drain(response: httpx.Response) -> None:
    """Read a little of the body, so that most connections close in order; only the status counts."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            read = 0
            async for block in response.aiter_raw():
                read += len(block)
                if read > _MAX_RESPONSE_BYTES:
                    break
    await response.aclose()
