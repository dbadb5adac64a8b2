"""Sends webhooks: what is due is leased, signed (Standard Webhooks) and posted, and what came of it written down."""

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
from serve_app.partners.bulkhead import SHARE, Bulkheads
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.ssrf_guard import AddressRefused, GuardedTransport

MOST = 200
"""Deliveries under way at once, of all webhooks together."""
LOOK_EVERY_S = 1.0
_MOST_ANSWER_BYTES, _PATIENCE_S = 1 << 16, 1.0
_LARGEST_MS = 2**31 - 1
SUSPENDED_AFTER_S = 5.0
"""An attempt that took so much longer than it may was held up here: by a suspended process, machine or event loop."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went. ``answer``: the HTTP status, None where none came; ``error``: None where it arrived."""

    answer: int | None
    error: str | None

    @property
    def answered(self) -> bool:
        """Whether somebody is there and well, even if they don't want this."""
        return self.answer is not None and self.answer < 500 and self.answer != HTTPStatus.TOO_MANY_REQUESTS


class Sender:
    """Sends the deliveries of one database. Any number of senders may; each delivery is at one of them.

    ``timeout_s``: for all of an attempt, from the name's look-up to the answer's status.
    """

    def __init__(
        self,
        database: Database,
        transport: GuardedTransport,
        timeout_s: float,
        backoff: RetryPolicy | None = None,
        lanes: Bulkheads | None = None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._database, self._backoff, self._lanes = database, backoff or RetryPolicy(), lanes or Bulkheads()
        self._look_every_s = look_every_s
        # An attempt ends well before its lease does: else another sender would send it a second time.
        self._timeout_s = min(timeout_s, LEASE.total_seconds() / 2)
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": f"facet-webhooks/{ENGINE_VERSION}", "Content-Type": "application/json"},
        )
        self._look, self._under_way = asyncio.Event(), 0

    def look(self) -> None:
        """There may be something to send: look now, not only at the next turn."""
        self._look.set()

    async def run(self) -> None:
        """Send for ever; cancel it to end it. What is under way then is sent again when its lease ends."""
        async with self._client, asyncio.TaskGroup() as group:
            while True:
                self._look.clear()
                for due in await self._lease():
                    self._under_way += 1
                    group.create_task(self._deliver(due), name=f"delivery {due.id}")
                try:
                    async with asyncio.timeout(self._look_every_s):
                        await self._look.wait()
                except TimeoutError:
                    continue

    async def _lease(self) -> list[DueDelivery]:
        room = MOST - self._under_way
        if room <= 0:
            return []
        try:
            async with self._database.transaction() as connection:
                return await deliveries.lease(connection, room, per_webhook=SHARE, busy=self._lanes.busy())
        except UNAVAILABLE_ERRORS as error:
            _log.warning("webhooks wait for the database", error=str(error))
            return []

    async def _deliver(self, due: DueDelivery) -> None:
        try:
            with self._lanes.using(due.webhook_id):
                began = clock.instant()
                outcome = await self._post(due)
                took_s = clock.elapsed_since(began)
                if outcome.answer is None and took_s > self._timeout_s + SUSPENDED_AFTER_S:
                    await self._save_interrupted(due, took_s)
                else:
                    self._lanes.heard(due.webhook_id, outcome.answered)
                    await self._write_down(due, outcome, round(1000 * took_s))
        finally:
            self._under_way -= 1
            self.look()  # the next delivery of the order may go now

    async def _post(self, due: DueDelivery) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._client.build_request("POST", due.url, content=due.body.encode(), headers=_signed(due))
                answer = await self._client.send(request, stream=True)
        except TimeoutError:
            return Outcome(None, f"no answer in {self._timeout_s:g} s")
        except AddressRefused as error:
            return Outcome(None, str(error))
        except Exception as error:  # what one webhook's address, secret or server causes must not stop the others
            return Outcome(None, f"{type(error).__name__}: {error}"[:500])
        await _end(answer)
        return Outcome(answer.status_code, None if answer.is_success else f"HTTP {answer.status_code}")

    async def _write_down(self, due: DueDelivery, outcome: Outcome, took_ms: int) -> None:
        gone = outcome.answer == HTTPStatus.GONE
        wait = None if gone else self._backoff.after(due.tries)
        try:
            async with self._database.transaction() as connection:
                await deliveries.record(connection, due, outcome.answer, outcome.error, took_ms, wait)
                if gone:
                    await repository.deactivate_webhook(connection, due.webhook_id)
        except ForeignKeyViolation:
            return  # the webhook was removed meanwhile, and its deliveries with it
        except UNAVAILABLE_ERRORS as error:
            _log.warning("a delivery will be sent again", delivery=str(due.id), error=str(error))

    async def _save_interrupted(self, due: DueDelivery, took_s: float) -> None:
        """No answer came because this sender stood still: no failure of the receiver's, and no try of its budget."""
        error = f"the sender was suspended for about {took_s:.0f} s; this does not count"
        try:
            async with self._database.transaction() as connection:
                await deliveries.record_interrupted(connection, due, error, min(round(1000 * took_s), _LARGEST_MS))
        except ForeignKeyViolation:
            return  # the webhook was removed meanwhile
        except UNAVAILABLE_ERRORS as failure:
            _log.warning("a delivery will be sent again", delivery=str(due.id), error=str(failure))


def _signed(due: DueDelivery) -> dict[str, str]:
    """The headers of Standard Webhooks; the time is that of this attempt, for receivers refuse old ones."""
    now, ident = clock.now(), str(due.event_id)
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(due.secret).sign(ident, now, due.body),
    }


async def _end(answer: httpx.Response) -> None:
    """Read a little of what the answer says, so that most connections end in order; its status is all that counts."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_PATIENCE_S):
            read = 0
            async for block in answer.aiter_raw():
                read += len(block)
                if read > _MOST_ANSWER_BYTES:
                    break
    await answer.aclose()
