"""Webhooks with deliveries in the database of partners, and senders that need no retry delays."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from data.kit.database import Database
from data.kit.ids import new_id
from data.kit.paging import START
from data.partners import deliveries, repository
from data.partners.deliveries import AttemptRow, Delivery, DeliveryState
from serve_app.partners.bulkhead import Bulkheads
from serve_app.partners.retry_policy import RetryPolicy
from serve_app.partners.sender import MAX_IN_FLIGHT, Sender
from serve_app.partners.ssrf_guard import GuardedTransport, Resolve, SsrfGuard, resolve
from tests.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FAST = RetryPolicy(factor=200.0)


def sender(
    database: Database,
    retry_policy: RetryPolicy = FAST,
    timeout_s: float = 25.0,
    resolve: Resolve = resolve,
    private_allowed: bool = True,
    trusted: ssl.SSLContext | bool = True,
) -> Sender:
    transport = GuardedTransport(SsrfGuard(private_allowed, resolve), MAX_IN_FLIGHT, trusted)
    return Sender(database, transport, timeout_s, retry_policy, Bulkheads(open_s=0.02), poll_interval_s=0.02)


@asynccontextmanager
async def sending(*senders: Sender) -> AsyncIterator[None]:
    running = [asyncio.create_task(each.run()) for each in senders]
    try:
        yield
        for each in running:
            assert not each.done(), each.exception()
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def hook(database: Database, url: str, orders: Sequence[UUID], each: int) -> UUID:
    """Add a webhook with ``each`` deliveries for every order; their bodies are numbered."""
    async with database.transaction() as connection:
        partner = await repository.add(connection, "jeweller")
        webhook = await repository.add_webhook(connection, partner, url, SECRET)
        for n in range(each):
            for order in orders:
                body = json.dumps({"order": str(order), "n": n})
                await deliveries.add(connection, webhook.id, order, new_id(), "facet.Test.v1", body)
    return webhook.id


async def all_of(database: Database, webhook: UUID) -> list[Delivery]:
    async with database.connection() as connection:
        return await deliveries.of_webhook(connection, webhook, START, 200)


async def attempts(database: Database, delivery: UUID) -> list[AttemptRow]:
    async with database.connection() as connection:
        return await deliveries.attempts(connection, delivery)


async def ended(database: Database, webhook: UUID, state: DeliveryState = DeliveryState.DELIVERED) -> list[Delivery]:
    """Wait until all deliveries of a webhook have the state, and return them."""

    async def have_state() -> bool:
        return all(each.state is state for each in await all_of(database, webhook))

    await until(have_state)
    return await all_of(database, webhook)
