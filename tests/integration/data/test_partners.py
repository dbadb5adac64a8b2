"""Partners: keys stored as hashes only, and deliveries in order, leased, retried, replayed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import OrderStatus
from data.kit import clock, parking
from data.kit.applier import Applier
from data.kit.database import Connection, Database
from data.kit.errors import NotFound, StaleVersion
from data.kit.ids import new_id
from data.kit.paging import START
from data.orders.projection import OrderState
from data.partners import deliveries, repository
from data.partners.deliveries import LEASE, DeliveryState
from tests.support.databases import message_of
from tests.support.order_events import life, of_partner

Migrated = Callable[[str], str]


async def test_a_key_is_valid_until_revoked_and_is_not_stored(migrated: Migrated) -> None:
    url = migrated("partners")

    async with Database(url) as database, database.connection() as connection:
        partner = await repository.add(connection, "jeweller")
        assert await repository.add(connection, "jeweller") == partner
        key = await repository.add_key(connection, partner)
        assert await repository.partner_of_key(connection, key) == partner
        assert await repository.partner_of_key(connection, key + "x") is None
        (row,) = await repository.keys(connection, partner, START, 9)
        assert key.startswith(row.hint)
        assert not await repository.revoke(connection, new_id(), row.id), "another partner's key"
        assert await repository.revoke(connection, partner, row.id)
        assert await repository.partner_of_key(connection, key) is None
    with psycopg.connect(url) as reader:
        rows = reader.execute("SELECT api_keys::text FROM api_keys").fetchall()
    assert key not in str(rows)


async def test_webhooks_are_edited_with_versions_and_filter_by_type(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database, database.connection() as connection:
        partner = await repository.add(connection, "jeweller")
        hook = await repository.add_webhook(connection, partner, "https://a.example", "whsec_x", ["shipped"])
        every = await repository.add_webhook(connection, partner, "https://b.example", "whsec_y")
        assert await repository.subscribed_webhooks(connection, partner, "shipped") == [hook, every]
        assert await repository.subscribed_webhooks(connection, partner, "priced") == [every]
        saved = await repository.edit_webhook(connection, hook.model_copy(update={"active": False}))
        assert saved.version == 2
        assert await repository.subscribed_webhooks(connection, partner, "shipped") == [every]
        with pytest.raises(StaleVersion):
            await repository.edit_webhook(connection, hook)
        assert await repository.remove_webhook(connection, partner, hook.id)
        with pytest.raises(NotFound):
            await repository.edit_webhook(connection, saved)
        assert await repository.webhook(connection, new_id(), every.id) is None


async def with_deliveries(database: Database, orders: list[UUID], each: int) -> tuple[UUID, UUID]:
    """Add a partner with a webhook and ``each`` deliveries of every order."""
    async with database.transaction() as connection:
        partner = await repository.add(connection, "jeweller")
        hook = await repository.add_webhook(connection, partner, "https://a.example", "whsec_x")
        for n in range(each):
            for order in orders:
                event = new_id()
                await repository.add_order(connection, order, partner)
                await deliveries.add(connection, hook.id, order, event, f"event-{n}", "{}")
                await deliveries.add(connection, hook.id, order, event, f"event-{n}", "{}")
    return partner, hook.id


async def test_deliveries_of_an_order_are_leased_one_after_the_other(migrated: Migrated) -> None:
    orders = [new_id() for _ in range(5)]

    async with Database(migrated("partners")) as database:
        await with_deliveries(database, orders, 4)
        delivered: list[str] = []
        for _ in range(4):
            async with database.transaction() as connection:
                due = await deliveries.lease(connection, 100)
                assert await deliveries.lease(connection, 100) == [], "they are leased"
            assert len(due) == 5
            delivered += sorted(each.type for each in due)
            async with database.transaction() as connection:
                for each in due:
                    await deliveries.record(connection, each, 200, None, 5, None)
        assert delivered == [f"event-{n}" for n in range(4) for _ in range(5)]


async def test_concurrent_senders_lease_disjoint_deliveries(migrated: Migrated) -> None:
    orders = [new_id() for _ in range(60)]

    async with Database(migrated("partners")) as database:
        await with_deliveries(database, orders, 1)

        async def take() -> list[UUID]:
            async with database.transaction() as connection:
                due = await deliveries.lease(connection, 10)
                await asyncio.sleep(0.01)
                return [each.id for each in due]

        taken = [order_id for each in await asyncio.gather(*(take() for _ in range(8))) for order_id in each]
        assert len(taken) == len(set(taken)) == 60


async def test_a_failed_delivery_is_retried_given_up_and_replayed(migrated: Migrated) -> None:
    order = new_id()

    async with Database(migrated("partners")) as database:
        partner, hook = await with_deliveries(database, [order], 2)
        async with database.transaction() as connection:
            (due,) = await deliveries.lease(connection, 9)
            await deliveries.record(connection, due, 503, "HTTP 503", 7, timedelta(seconds=30))
            assert await deliveries.lease(connection, 9) == []
            (due,) = await deliveries.lease(connection, 9, now=clock.now() + timedelta(seconds=31))
            assert due.attempts == 2
            await deliveries.record(connection, due, None, "no answer", 9, None)
            (second,) = await deliveries.lease(connection, 9)
            assert second.type == "event-1", "a delivery that was given up blocks no other"
            assert await deliveries.replay(connection, new_id(), due.id) is None
            again = await deliveries.replay(connection, partner, due.id)
            assert again is not None
            assert again.state is DeliveryState.PENDING
            tries = await deliveries.attempts(connection, due.id)
            assert [(each.n, each.answer, each.error) for each in tries] == [
                (1, 503, "HTTP 503"), (2, None, "no answer"),
            ]  # fmt: skip
            page = await deliveries.of_webhook(connection, hook, START, 10)
            assert [each.type for each in page] == ["event-1", "event-0"]


async def test_a_delivery_of_a_dead_sender_is_due_when_its_lease_expires(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        await with_deliveries(database, [new_id()], 1)
        async with database.transaction() as connection:
            (due,) = await deliveries.lease(connection, 9)
            (again,) = await deliveries.lease(connection, 9, now=clock.now() + LEASE)
            assert (again.id, again.attempts) == (due.id, 2)


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_of_events_results_in_the_true_history(migrated: Migrated, seed: int) -> None:
    choose, order_id = random.Random(seed), new_id()
    events, history = life(choose, 20)

    async with Database(migrated("partners")) as database:
        async with database.transaction() as connection:
            partner = await repository.add(connection, "jeweller")
        arrivals = of_partner(events, partner)
        choose.shuffle(arrivals)
        entries = []

        async def apply(connection: Connection, event: CloudEvent, _data: EventData) -> None:
            owner, entry = await repository.apply(connection, order_id, event)
            assert owner in (None, partner)
            entries.extend([entry] if entry else [])

        applier = Applier("partners", apply, database)
        for event in [*arrivals, *arrivals]:
            await applier.apply([message_of(event)])
        assert [entry.status for entry in entries] == history
        async with database.connection() as connection:
            (page,) = await repository.orders(connection, partner, START, 9)
            assert page.state.status is history[-1]
            assert await parking.counts(connection, "partners") == (0, 0)


@pytest.mark.parametrize("partner", [False, True])
async def test_orders_without_a_partner_return_no_entries_and_store_only_a_status(
    migrated: Migrated, partner: bool
) -> None:
    choose, order_id = random.Random(7), new_id()
    events, _ = life(choose, 20)
    if partner:
        events = of_partner(events, choose.choice([new_id(), "somebody"]))
    url = migrated("partners")

    async with Database(url) as database:

        async def apply(connection: Connection, event: CloudEvent, _data: EventData) -> None:
            assert await repository.apply(connection, order_id, event) == (None, None)

        applier = Applier("partners", apply, database)
        for event in sorted(events, key=lambda _event: choose.random()):
            await applier.apply([message_of(event)])
    with psycopg.connect(url) as connection:
        (stored,) = connection.execute("SELECT state FROM orders").fetchall()
    assert stored == (OrderState(status=OrderStatus(stored[0]["status"])).model_dump(mode="json"),)


async def test_orders_recorded_by_the_api_or_by_events_are_equal(migrated: Migrated) -> None:
    events, _ = life(random.Random(2), 1)

    async with Database(migrated("partners")) as database, database.connection() as connection:
        partner, first, second = await repository.add(connection, "jeweller"), new_id(), new_id()
        await repository.add_order(connection, first, partner)
        assert await repository.partner_of_order(connection, first) == partner
        for order_id in (first, second):
            await repository.apply(connection, order_id, of_partner(events, partner)[0])
        await repository.add_order(connection, second, partner)
        page = await repository.orders(connection, partner, START, 9)
        assert {each.id for each in page} == {first, second}
        assert {each.state.status for each in page} == {OrderStatus.INITIATED}


async def test_busy_webhooks_are_skipped_and_each_is_limited(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        partner, hook = await with_deliveries(database, [new_id() for _ in range(9)], 1)
        async with database.transaction() as connection:
            other = await repository.add_webhook(connection, partner, "https://b.example", "whsec_y")
            await deliveries.add(connection, other.id, new_id(), new_id(), "event", "{}")
            assert [each.webhook_id for each in await deliveries.lease(connection, 9, busy=[hook])] == [other.id]
            assert len(await deliveries.lease(connection, 9, per_webhook=4)) == 4
            await repository.deactivate_webhook(connection, hook)
            assert await deliveries.lease(connection, 9) == [], "those of a webhook that is not active rest"


async def test_a_sender_after_its_lease_does_not_set_the_next_attempt(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        await with_deliveries(database, [new_id()], 1)
        async with database.transaction() as connection:
            (late,) = await deliveries.lease(connection, 9)
            at = clock.now() + LEASE
            (again,) = await deliveries.lease(connection, 9, now=at)
            await deliveries.record(connection, late, 500, "HTTP 500", 5, timedelta(0))
            assert await deliveries.lease(connection, 9, now=at) == []
            await deliveries.record(connection, again, 500, "HTTP 500", 5, timedelta(0))
            assert len(await deliveries.lease(connection, 9, now=at)) == 1


async def state_of(database: Database, partner: UUID, order_id: UUID) -> DeliveryState:
    async with database.connection() as connection:
        found = await deliveries.get(connection, partner, order_id)
    assert found is not None
    return found.state


async def test_a_suspended_sender_does_not_give_up_a_taken_over_delivery(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        partner, _hook = await with_deliveries(database, [new_id()], 2)
        async with database.transaction() as connection:
            (late,) = await deliveries.lease(connection, 9)
            (again,) = await deliveries.lease(connection, 9, now=clock.now() + LEASE + LEASE)
            await deliveries.record(connection, late, None, "no answer", 5, None)
        assert await state_of(database, partner, again.id) is DeliveryState.PENDING
        async with database.transaction() as connection:
            assert await deliveries.lease(connection, 9) == [], "the second of the order still waits for the first"
            await deliveries.record(connection, again, 200, None, 5, None)
            (second,) = await deliveries.lease(connection, 9)
            assert second.type == "event-1"
        assert await state_of(database, partner, again.id) is DeliveryState.DELIVERED


async def test_a_late_success_counts_after_a_takeover_but_not_after_a_replay(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        partner, _hook = await with_deliveries(database, [new_id()], 1)
        async with database.transaction() as connection:
            (late,) = await deliveries.lease(connection, 9)
            (again,) = await deliveries.lease(connection, 9, now=clock.now() + LEASE + LEASE)
            await deliveries.record(connection, late, 200, None, 5, None)
        assert await state_of(database, partner, late.id) is DeliveryState.DELIVERED
        async with database.transaction() as connection:
            assert await deliveries.replay(connection, partner, late.id)
            await deliveries.record(connection, again, 200, None, 5, None)
        assert await state_of(database, partner, late.id) is DeliveryState.PENDING, "it is to be sent once more"


async def test_an_interrupted_attempt_is_due_at_once_and_not_counted(migrated: Migrated) -> None:
    async with Database(migrated("partners")) as database:
        await with_deliveries(database, [new_id()], 1)
        for n in (1, 2, 3):
            async with database.transaction() as connection:
                (due,) = await deliveries.lease(connection, 9)
                assert (due.attempts, due.tries) == (n, 1)
                await deliveries.record_interrupted(connection, due, "suspended", 300_000)
        async with database.transaction() as connection:
            (due,) = await deliveries.lease(connection, 9)
            await deliveries.record(connection, due, None, "no answer", 5, timedelta(0))
        async with database.transaction() as connection:
            (due,) = await deliveries.lease(connection, 9)
            assert (due.attempts, due.tries) == (5, 2)
            assert [each.n for each in await deliveries.attempts(connection, due.id)] == [1, 2, 3, 4]


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clock_of_a_sender_changes_nothing(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = clock.now() + timedelta(hours=hours)

    async with Database(migrated("partners")) as database:
        await with_deliveries(database, [new_id(), new_id()], 1)
        async with database.transaction() as connection:
            (leased,) = await deliveries.lease(connection, 1)
        monkeypatch.setattr(clock, "now", lambda: wrong)
        async with database.transaction() as connection:
            (other,) = await deliveries.lease(connection, 9)
            assert other.id != leased.id, "what another sender has is not due"
            await deliveries.record(connection, other, 500, "HTTP 500", 5, timedelta(seconds=5))
            assert await deliveries.lease(connection, 9) == []
        monkeypatch.undo()
        async with database.transaction() as connection:
            assert [each.id for each in await deliveries.lease(connection, 9, now=clock.now() + LEASE / 2)] == [
                other.id
            ]
