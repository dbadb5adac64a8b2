"""Parked events: applied in order, reported if unreachable, replayed from the dead letters; never lost."""

from __future__ import annotations

import asyncio
from functools import partial

import psycopg
import pytest

from data.contracts import mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.topics import CRM_ORDERS, PRODUCTION, dead_letters
from data.kit import dead_letters as letters
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from serve_app.shop.handlers import handle_event
from serve_app.status.handlers import handle_event as handle_status_event
from tests.support.event_examples import message_bytes
from tests.support.fake_kafka import Broker, FakeConsumer, Record
from tests.support.outages import (
    Migrated,
    Published,
    S,
    consumer_of_shop,
    has_status,
    of_type,
    parked,
    priced_order,
    running,
    status_of,
)
from tests.support.waiting import until


class TestUnreachable:
    async def test_an_event_without_predecessor_stays_parked_and_is_reported(
        self, migrated: Migrated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, broker = migrated("shop"), Broker()
        broker.install(monkeypatch)

        async with Database(url) as database:
            (lost, lost_quote), (other, other_quote) = [await priced_order(database) for _ in range(2)]
            one = consumer_of_shop(database)
            async with running(one.run()):
                Published(broker, lost, lost_quote).production()
                Published(broker, other, other_quote).approval()
                Published(broker, other, other_quote).production()
                await until(lambda: has_status(database, other, S.SHIPPED))
                await until(lambda: one.unreachable == 4)
                assert (one.dead_lettered, one.parked) == (0, 4)
                assert parked(url, "unreachable_at IS NOT NULL") == 4
                assert await status_of(database, lost) is S.PRICE_CALCULATED
                Published(broker, lost, lost_quote).approval()  # it was lost and is published again by hand
                await until(lambda: has_status(database, lost, S.SHIPPED))
                assert parked(url) == 0

    async def test_an_event_is_not_reported_while_its_topic_lags(
        self, migrated: Migrated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The consumer has not read the predecessor's topic: the check never reports the event."""
        url, broker = migrated("shop"), Broker(partitions=1)
        broker.install(monkeypatch)

        async with Database(url) as database:
            order, quote = await priced_order(database)
            one = consumer_of_shop(database)
            async with running(one.run()):
                await until(lambda: len(broker.members["shop"]) == 1)
                # Of three partitions the second member gets the CRM's, and reads nothing.
                broker.members["shop"].append(FakeConsumer(broker, "shop", one.topics))
                Published(broker, order, quote).approval()
                Published(broker, order, quote).production()
                await until(lambda: one.parked == 4)
                await asyncio.sleep(0.3)
                assert one.unreachable == 0
                broker.members["shop"].pop()
                await until(lambda: has_status(database, order, S.SHIPPED))


class TestRefused:
    async def test_later_events_are_parked_and_a_replay_applies_all_in_order(
        self, migrated: Migrated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, broker = migrated("shop"), Broker()
        broker.install(monkeypatch)
        refusing = {mes.ProductionStarted, mes.ProductionPackaged}

        async def handler(connection: Connection, event: CloudEvent, data: EventData) -> None:
            await handle_event(connection, event, data)
            if type(data) in refusing:
                raise ValueError(f"no {type(data).__name__} today")

        async with Database(url) as database:
            order, quote = await priced_order(database)
            one = Consumer("shop", handler, database, "", check_interval_s=0.0)
            async with running(one.run()):
                Published(broker, order, quote).production()
                Published(broker, order, quote).approval()
                await until(lambda: one.dead_lettered == 1)
                await until(lambda: has_status(database, order, S.MANUFACTURING_APPROVED))
                await until(lambda: parked(url) == 4)  # the one in the dead letters, and three successors
                replay(broker)  # refused again
                await until(lambda: one.dead_lettered == 2)
                assert parked(url) == 4
                refusing.discard(mes.ProductionStarted)
                replay(broker)
                await until(lambda: one.dead_lettered == 3)  # the packaging, retried and refused
                await until(lambda: has_status(database, order, S.MANUFACTURING_COMPLETED))
                refusing.clear()
                replay(broker)
                await until(lambda: has_status(database, order, S.SHIPPED))
                assert parked(url) == 0

    async def test_an_unreadable_message_blocks_only_its_order(
        self, migrated: Migrated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, broker = migrated("shop"), Broker()
        broker.install(monkeypatch)

        async with Database(url) as database:
            (order, quote), (other, other_quote) = [await priced_order(database) for _ in range(2)]
            one = consumer_of_shop(database)
            async with running(one.run()):
                Published(broker, order, quote).approval()
                broker.publish(PRODUCTION, str(order), b"\xff no event")
                Published(broker, order, quote).production()
                Published(broker, other, other_quote).approval()
                Published(broker, other, other_quote).production()
                await until(lambda: has_status(database, other, S.SHIPPED))
                await until(lambda: parked(url) == 5)
                assert one.dead_lettered == 1
                await until(lambda: has_status(database, order, S.MANUFACTURING_APPROVED))
                broken = broker.topic(dead_letters("shop"))[sum(str(order).encode()) % 2].pop()
                broken.value = message_bytes(
                    of_type(mes.ReworkOrdered, order, quote, 1), 1
                )  # repaired; it changes nothing
                resend(broker, broken)
                await until(lambda: has_status(database, order, S.SHIPPED))
                assert parked(url) == 0


def replay(broker: Broker) -> None:
    """Do as :func:`data.kit.dead_letters.replay`, on the broker in memory."""
    for log in broker.topic(dead_letters("shop")):
        while log:
            resend(broker, log.pop(0))


def resend(broker: Broker, record: Record) -> None:
    letter = letters.parse(record)
    headers = letters.replay_headers("shop", letter)
    broker.publish(letter.topic, (letter.key or b"").decode(), record.value, headers)


async def test_added_partitions_and_a_recreated_topic_lose_nothing(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys move to other partitions: an order's later events may arrive before earlier ones of the same topic."""
    url, broker = migrated("shop"), Broker(partitions=1)
    broker.install(monkeypatch)

    async with Database(url) as database:
        orders = [await priced_order(database) for _ in range(8)]
        one = consumer_of_shop(database)
        for order, quote in orders:
            Published(broker, order, quote).production(0, 2)
        broker.add_partitions(PRODUCTION, 4)
        for order, quote in orders:
            Published(broker, order, quote).production(2)
        async with running(one.run()):
            await until(lambda: one.parked == 4 * len(orders))
            broker.recreate(CRM_ORDERS)
            for order, quote in orders:
                Published(broker, order, quote).approval()
            for order, _ in orders:
                await until(partial(has_status, database, order, S.SHIPPED))
        assert (one.dead_lettered, parked(url)) == (0, 0)


async def test_a_connection_lost_while_parking_leaves_nothing_partial(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, broker = migrated("shop"), Broker()
    broker.install(monkeypatch)
    deaths = 0

    async def dying(connection: Connection, event: CloudEvent, data: EventData) -> None:
        nonlocal deaths
        await handle_event(connection, event, data)
        if deaths < 6:
            deaths += 1
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async with Database(url) as database:
        order, quote = await priced_order(database)
        one = Consumer("shop", dying, database, "", check_interval_s=0.0)
        Published(broker, order, quote).production()
        async with running(one.run()):
            await until(lambda: one.parked == 4)
            Published(broker, order, quote).approval()
            await until(lambda: has_status(database, order, S.SHIPPED))
        assert deaths == 6
        assert (one.dead_lettered, parked(url)) == (0, 0)


async def test_thousands_of_parked_orders_do_not_block_others(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, broker = migrated("status"), Broker()
    broker.install(monkeypatch)
    many = 10_000

    async with Database(url) as database:
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO parked"
                " (consumer, subject, topic, partition, kafka_offset, event_id, sequence, value, refused)"
                " SELECT 'status', gen_random_uuid()::text, 'mes.production.v1', 0, n, gen_random_uuid(), 1,"
                " %s, false FROM generate_series(1, %s) AS n",
                [message_bytes(of_type(mes.ProductionStarted, new_id(), new_id(), 6), 1), many],
            )
        one = Consumer("status", handle_status_event, database, "", check_interval_s=0.0)
        order, quote = new_id(), new_id()
        events = [
            of_type(shop.OrderInitiated, order, quote, 1),
            of_type(shop.ModelUploaded, order, quote, 2),
            of_type(shop.OrderSubmitted, order, quote, 3),
            of_type(pricing.QuotePriced, order, quote, None),
        ]
        async with running(one.run()):
            for n, event in enumerate(events, 1):
                broker.publish(
                    event.topic, event.subject, message_bytes(event, n if event.topic != "pricing.quotes.v1" else 1)
                )
            await until(lambda: one.applied == len(events))
            await until(lambda: one.unreachable >= 300)  # some hundreds at a time
        assert parked(url) == many
