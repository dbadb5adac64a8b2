"""Two topics around outages of the database, the broker or both: no order of arrival and no length loses an event."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from data.contracts.topics import dead_letters
from tests.support.fake_kafka import Broker
from tests.support.outages import (
    Migrated,
    Outage,
    Published,
    S,
    Unsteady,
    cancel_all,
    consumer_of_shop,
    has_status,
    parked,
    priced_order,
    running,
    shop_history,
)
from tests.support.waiting import TIMEOUT_S, until

ARRIVALS = [
    "approval first", "production first", "approval before, production after", "production before, approval after",
    "both after, production first",
]  # fmt: skip
OUTAGES = [(True, False), (False, True), (True, True)]
MIDDLES = ["nothing", "restart", "rebalance"]


@pytest.mark.parametrize("seconds", [0, 30, 90, 300])
@pytest.mark.parametrize("arrival", ARRIVALS)
async def test_any_order_of_two_topics_around_an_outage_is_applied(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch, arrival: str, seconds: int
) -> None:
    url = migrated("shop")

    async def one(database: Unsteady, away: tuple[bool, bool], middle: str) -> None:
        broker = Broker()
        broker.install(monkeypatch)
        database.outage = outage = Outage(monkeypatch, broker)
        order, quote = await priced_order(database)
        published = Published(broker, order, quote)
        first = consumer_of_shop(database)
        second = consumer_of_shop(database)
        async with running(first.run()) as tasks:
            await until(lambda: len(broker.members["shop"]) == 1, every_s=0.001)
            if arrival == "production before, approval after":
                published.production()
            elif arrival == "approval before, production after":
                published.approval()
            elif arrival == "production first":
                published.production()
                await asyncio.sleep(0.01)
                published.approval()
            elif arrival == "approval first":
                published.approval()
                published.production()
            outage.start(*away)
            if middle == "restart":
                await cancel_all(tasks[0])
                tasks[0] = asyncio.create_task(consumer_of_shop(database).run())
            elif middle == "rebalance":
                tasks.append(asyncio.create_task(second.run()))
            await asyncio.sleep(0.005)
            outage.end(after_s=seconds)
            if arrival == "production before, approval after":
                await asyncio.sleep(0.02)
                published.approval()
            elif arrival == "approval before, production after":
                published.production()
            elif arrival == "both after, production first":
                published.production(0, 2)
                await asyncio.sleep(0.02)
                published.approval()
                published.production(2)
            await until(lambda: has_status(database, order, S.SHIPPED), every_s=0.005)
        assert dead_letters("shop") not in broker.topics
        assert parked(url) == 0
        history = await shop_history(database, order)
        assert history[1:] == [S.MANUFACTURING_APPROVED, S.MANUFACTURING_STARTED, S.MANUFACTURING_COMPLETED,
                               S.PACKAGING, S.SHIPPED]  # fmt: skip

    async with Unsteady(url) as database:
        for away, middle in itertools.product(OUTAGES, MIDDLES):
            await asyncio.wait_for(one(database, away, middle), TIMEOUT_S)
