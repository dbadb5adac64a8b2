"""Operating clocks in a real database; the lag of a consumer group at a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from data.contracts.common import OrderRequest, Priority
from data.contracts.lifecycle import OrderStatus, Step
from data.kit import clock, kafka
from data.kit.database import Connection, Database
from data.kit.group_lag import GroupLag
from data.kit.ids import new_id
from data.kit.timers import SETTLE_S, Timer
from data.shop import repository
from serve_app.shop.handlers import fail_overdue, overdue_timer
from tests.support.databases import initiated
from tests.support.event_examples import SHA
from tests.support.waiting import until

ORDER_REQUEST = OrderRequest(
    process="casting", material="brass", finish="polished", quantity=2, priority=Priority.EXPRESS
)
TICK_S = 5.0
S = OrderStatus


class FakeMonotonic:
    """A monotonic clock that the test moves, and the database's with it, by making the last tick older."""

    def __init__(self, url: str) -> None:
        self.at_s = 0.0
        self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> FakeMonotonic:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def __call__(self) -> float:
        return self.at_s

    def pass_s(self, seconds: float, in_database_s: float | None = None) -> None:
        self.at_s += seconds
        moved = seconds if in_database_s is None else in_database_s
        self._connection.execute("UPDATE operating_clocks SET ticked_at = ticked_at - %s * interval '1 s'", [moved])

    def stored_s(self) -> int:
        row = self._connection.execute("SELECT elapsed_ms FROM operating_clocks").fetchone()
        assert row is not None
        return int(row[0]) // 1000


@pytest.fixture
def monotonic(shop_url: str) -> Iterator[FakeMonotonic]:
    with FakeMonotonic(shop_url) as clock_of_test:
        yield clock_of_test


def timer(monotonic: FakeMonotonic, settle_s: float = 0.0, interval_s: float = TICK_S) -> Timer:
    return Timer(repository.OVERDUE_TIMER, interval_s, settle_s=settle_s, monotonic=monotonic)


async def nothing(_connection: Connection) -> None:
    """Do nothing."""


async def test_concurrent_ticks_of_two_processes_count_time_once(shop_url: str, monotonic: FakeMonotonic) -> None:
    async with Database(shop_url) as database:
        timers = [timer(monotonic), timer(monotonic)]
        for _ in range(21):
            for each in timers:
                await each.tick(database, nothing)
            monotonic.pass_s(TICK_S)
    assert 100 <= monotonic.stored_s() <= 101


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
async def test_a_step_of_the_databases_clock_adds_no_more_than_a_tick(
    shop_url: str, monotonic: FakeMonotonic, step_s: float
) -> None:
    async with Database(shop_url) as database:
        ticking = timer(monotonic)
        await ticking.tick(database, nothing)
        for _ in range(4):
            monotonic.pass_s(TICK_S)
            await ticking.tick(database, nothing)
        before = monotonic.stored_s()
        monotonic.pass_s(TICK_S, in_database_s=step_s)
        await ticking.tick(database, nothing)
        assert 0 <= monotonic.stored_s() - before <= TICK_S
        monotonic.pass_s(TICK_S)
        await ticking.tick(database, nothing)
        assert TICK_S <= monotonic.stored_s() - before <= 2 * TICK_S + 1


async def submitted(database: Database) -> UUID:
    order_id = new_id()
    async with database.transaction() as connection:
        await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))
        order = await repository.lock(connection, order_id)
        assert order is not None
        order = await repository.move(connection, order, Step.UPLOAD, "me", model_sha256=SHA, unit="mm")
        await repository.move(
            connection, order, Step.SUBMIT, "me", submitted_at=clock.now() - timedelta(days=9), quote_id=new_id()
        )
    return order_id


@pytest.mark.parametrize("outage_s", [0, 90, 300, 100_000])
async def test_an_outage_makes_no_price_overdue(shop_url: str, monotonic: FakeMonotonic, outage_s: int) -> None:
    """No tick for ``outage_s``; the order has waited 870 of its 900 seconds, and is nine days old by its date."""
    interval_s = 30.0

    async with Database(shop_url) as database:
        ticking = timer(monotonic, SETTLE_S, interval_s)

        async def tick(times: int) -> None:
            for _ in range(times):
                monotonic.pass_s(interval_s)
                await ticking.tick(database, fail_overdue)

        async def status() -> OrderStatus:
            async with database.connection() as connection:
                order = await repository.get(connection, order_id)
            assert order is not None
            return order.status

        await tick(1 + int(SETTLE_S / interval_s))
        order_id = await submitted(database)
        await tick(29)
        assert (await status(), monotonic.stored_s()) == (S.SUBMITTED, 870)
        if outage_s:
            monotonic.pass_s(outage_s)
            await tick(1 + int(SETTLE_S / interval_s))
        assert await status() is S.SUBMITTED
        await tick(1)
        assert await status() is S.PRICE_FAILED


async def test_a_group_keeps_up_once_it_has_committed_earlier_messages(bootstrap: str, topic: str) -> None:
    group = f"group-{topic}"
    lag = GroupLag(bootstrap, group, [topic], timeout_s=20.0)
    assert await lag.keeps_up() is False, "nothing to compare with yet"
    await until(lag.keeps_up)  # a new broker creates its table of groups first
    async with (
        kafka.started(kafka.producer(bootstrap, "test")) as producer,
        kafka.started(kafka.consumer(bootstrap, group, [topic])) as consumer,
    ):
        for n in range(12):
            await producer.send_and_wait(topic, b"{}", key=str(n).encode())
        assert await lag.keeps_up() is True, "messages since the last check may still be unhandled"
        assert await lag.keeps_up() is False
        left = 12
        while left:
            left -= sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))
        assert await lag.keeps_up() is False, "read, and not handled"
        await consumer.commit()
        assert await lag.keeps_up() is True
    await lag.close()
    missing = GroupLag(bootstrap, group, [topic, f"{topic}-missing"], timeout_s=20.0)
    assert [await missing.keeps_up() for _ in range(2)] == [False, False]
    await missing.close()


async def test_the_shops_timer_counts_while_the_broker_is_available(
    migrated: Callable[[str], str], bootstrap: str
) -> None:
    await kafka.ensure_topics(bootstrap, ["pricing.quotes.v1"])
    url = migrated("shop")
    async with Database(url) as database:
        reachable, unreachable = overdue_timer(bootstrap), overdue_timer("127.0.0.1:1")
        reachable._settle_s = unreachable._settle_s = 0.0
        await until(lambda: reachable.tick(database, nothing))
        assert not await unreachable.tick(database, nothing)
        assert not await unreachable.tick(database, nothing)
