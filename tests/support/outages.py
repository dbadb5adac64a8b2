"""Helpers for tests of outages and parked events: an order of the shop, its events, and servers with outages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from psycopg import OperationalError

from data.contracts import crm, mes, shop
from data.contracts.envelope import EventData
from data.contracts.lifecycle import OrderStatus
from data.kit import clock, consumer
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.shop import repository
from data.shop.repository import ShopOrderRow
from serve_app.shop.handlers import handle_event
from tests.support import event_examples as examples
from tests.support.event_examples import message_bytes
from tests.support.fake_kafka import Broker

Migrated = Callable[[str], str]
Event = TypeVar("Event", bound=EventData)
S = OrderStatus


class Outage:
    """An outage as a consumer sees it: an unavailable database or broker, and a clock that jumps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
        self._broker, self._skew_s, self.database_unavailable = broker, 0.0, False  # set by start() and end()
        import time

        real = time.monotonic

        class Time:
            @staticmethod
            def monotonic() -> float:
                return real() + self._skew_s

        monkeypatch.setattr(consumer, "time", Time)
        monkeypatch.setattr(consumer, "MAX_BACKOFF_S", 0.02)  # instead of 1 s: an outage of a test lasts 5 ms
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(seconds=self._skew_s))

    def start(self, database: bool, broker: bool) -> None:
        self.database_unavailable, self._broker.away = database, broker

    def end(self, after_s: float) -> None:
        self._skew_s += after_s
        self.database_unavailable = self._broker.away = False


class Unsteady(Database):
    """A real database that refuses transactions during the outage."""

    outage: Outage

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        self._check()
        async with super().transaction() as connection:
            yield connection
            self._check()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self._check()
        async with super().connection() as connection:
            yield connection

    def _check(self) -> None:
        if self.outage.database_unavailable:
            raise OperationalError("the database is unavailable")


def of_type(kind: type[Event], order: UUID, quote: UUID, revision: int | None) -> Event:
    """Return the example of an event type, with these members."""
    example = next(each for each in examples.EVENTS if type(each) is kind).model_dump()
    return kind.model_validate({**example, "order_id": order, "quote_id": quote, "revision": revision})


PRODUCED = (mes.ProductionStarted, mes.ProductionCompleted, mes.ProductionPackaged, mes.ProductionShipped)


class Published:
    """Publish the events of the CRM and the MES about one priced order of the shop."""

    def __init__(self, broker: Broker, order: UUID, quote: UUID) -> None:
        self._broker, self._order, self._quote = broker, order, quote

    def approval(self) -> None:
        self._publish(of_type(crm.OrderApproved, self._order, self._quote, 5), 1)

    def production(self, first: int = 0, end: int = 4) -> None:
        for n in range(first, end):
            self._publish(of_type(PRODUCED[n], self._order, self._quote, 6 + n), n + 1)

    def _publish(self, event: EventData, sequence: int) -> None:
        self._broker.publish(event.topic, event.subject, message_bytes(event, sequence))


async def priced_order(database: Database) -> tuple[UUID, UUID]:
    """Create an order of the shop at PRICE_CALCULATED, revision 4."""
    order, quote = new_id(), new_id()
    async with database.transaction() as connection:
        await repository.create(connection, of_type(shop.OrderInitiated, order, quote, 1))
        await connection.execute(
            "UPDATE orders SET status = 'PRICE_CALCULATED', revision = 4, version = 4, quote_id = %s WHERE id = %s",
            [quote, order],
        )
    return order, quote


async def status_of(database: Database, order: UUID) -> OrderStatus:
    async with database.connection() as connection:
        found = await repository.get(connection, order)
    assert isinstance(found, ShopOrderRow)
    return found.status


def consumer_of_shop(database: Database) -> Consumer:
    return Consumer("shop", handle_event, database, "", check_interval_s=0.0)


async def cancel_all(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks until they end: before Python 3.12 ``wait_for`` can swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


@contextlib.asynccontextmanager
async def running(*services: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(service) for service in services]
    try:
        yield tasks
    finally:
        await cancel_all(*tasks)


async def has_status(database: Database, order: UUID, status: OrderStatus) -> bool:
    return await status_of(database, order) is status


async def shop_history(database: Database, order: UUID) -> list[OrderStatus]:
    async with database.connection() as connection:
        return [line.status for line in await repository.history(connection, order)]


def parked(url: str, condition: str = "true") -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM parked WHERE {condition}".encode()).fetchone()
    assert row is not None
    return int(row[0])
