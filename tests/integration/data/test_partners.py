"""Partners: keys that are kept as hashes alone, and deliveries in order, leased, tried again, sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from data.kit import clock
from data.kit.database import Database
from data.kit.errors import NotThere, StaleVersion
from data.kit.ids import new_id
from data.kit.paging import BEGIN
from data.partners import deliveries, repository
from data.partners.deliveries import LEASE, DeliveryState
from tests.integration.data.running import run

Migrated = Callable[[str], str]


def test_a_key_opens_until_it_is_revoked_and_is_kept_nowhere(migrated: Migrated) -> None:
    url = migrated("partners")

    async def main() -> str:
        async with Database(url) as database, database.connection() as connection:
            partner = await repository.add(connection, "jeweller")
            assert await repository.add(connection, "jeweller") == partner
            key = await repository.add_key(connection, partner)
            assert await repository.partner_of_key(connection, key) == partner
            assert await repository.partner_of_key(connection, key + "x") is None
            (shown,) = await repository.keys(connection, partner)
            assert key.startswith(shown.hint)
            assert not await repository.revoke(connection, new_id(), shown.id), "another partner's key"
            assert await repository.revoke(connection, partner, shown.id)
            assert await repository.partner_of_key(connection, key) is None
            return key

    key = run(main())
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT api_keys::text FROM api_keys").fetchall()
    assert key not in str(rows)


def test_webhooks_are_edited_with_versions_and_want_what_they_name(migrated: Migrated) -> None:
    async def main() -> None:
        async with Database(migrated("partners")) as database, database.connection() as connection:
            partner = await repository.add(connection, "jeweller")
            hook = await repository.add_webhook(connection, partner, "https://a.example", "whsec_x", ["shipped"])
            every = await repository.add_webhook(connection, partner, "https://b.example", "whsec_y")
            assert await repository.wanting(connection, partner, "shipped") == [hook, every]
            assert await repository.wanting(connection, partner, "priced") == [every]
            saved = await repository.edit_webhook(connection, hook.model_copy(update={"active": False}))
            assert saved.version == 2
            assert await repository.wanting(connection, partner, "shipped") == [every]
            with pytest.raises(StaleVersion):
                await repository.edit_webhook(connection, hook)
            assert await repository.remove_webhook(connection, partner, hook.id)
            with pytest.raises(NotThere):
                await repository.edit_webhook(connection, saved)
            assert await repository.webhook(connection, new_id(), every.id) is None

    run(main())


async def with_deliveries(database: Database, orders: list[UUID], each: int) -> tuple[UUID, UUID]:
    """A partner with a webhook that is to hear ``each`` events of every order."""
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


def test_those_of_an_order_go_one_after_the_other(migrated: Migrated) -> None:
    orders = [new_id() for _ in range(5)]

    async def main() -> None:
        async with Database(migrated("partners")) as database:
            await with_deliveries(database, orders, 4)
            heard: list[str] = []
            for _ in range(4):
                async with database.transaction() as connection:
                    due = await deliveries.lease(connection, 100)
                    assert await deliveries.lease(connection, 100) == [], "they are leased"
                assert len(due) == 5
                heard += sorted(each.type for each in due)
                async with database.transaction() as connection:
                    for each in due:
                        await deliveries.record(connection, each, 200, None, 5, None)
            assert heard == [f"event-{n}" for n in range(4) for _ in range(5)]

    run(main())


def test_senders_at_once_never_have_the_same_one(migrated: Migrated) -> None:
    orders = [new_id() for _ in range(60)]

    async def main() -> None:
        async with Database(migrated("partners")) as database:
            await with_deliveries(database, orders, 1)

            async def take() -> list[UUID]:
                async with database.transaction() as connection:
                    due = await deliveries.lease(connection, 10)
                    await asyncio.sleep(0.01)
                    return [each.id for each in due]

            taken = [ident for each in await asyncio.gather(*(take() for _ in range(8))) for ident in each]
            assert len(taken) == len(set(taken)) == 60

    run(main())


def test_what_failed_is_tried_again_given_up_and_sent_again_on_request(migrated: Migrated) -> None:
    order = new_id()

    async def main() -> None:
        async with Database(migrated("partners")) as database:
            partner, hook = await with_deliveries(database, [order], 2)
            async with database.transaction() as connection:
                (due,) = await deliveries.lease(connection, 9)
                later = clock.now() + timedelta(seconds=30)
                await deliveries.record(connection, due, 503, "HTTP 503", 7, later)
                assert await deliveries.lease(connection, 9) == []
                (due,) = await deliveries.lease(connection, 9, now=later)
                assert due.attempts == 2
                await deliveries.record(connection, due, None, "no answer", 9, None)
                (second,) = await deliveries.lease(connection, 9)
                assert second.type == "event-1", "what was given up holds up nobody"
                assert await deliveries.replay(connection, new_id(), due.id) is None
                again = await deliveries.replay(connection, partner, due.id)
                assert again is not None
                assert again.state is DeliveryState.PENDING
                tries = await deliveries.attempts(connection, due.id)
                assert [(each.n, each.answer, each.error) for each in tries] == [
                    (1, 503, "HTTP 503"), (2, None, "no answer"),
                ]  # fmt: skip
                listed = await deliveries.of_webhook(connection, hook, BEGIN, 10)
                assert [each.type for each in listed] == ["event-1", "event-0"]

    run(main())


def test_what_a_dead_sender_had_is_due_when_its_lease_ends(migrated: Migrated) -> None:
    async def main() -> None:
        async with Database(migrated("partners")) as database:
            await with_deliveries(database, [new_id()], 1)
            async with database.transaction() as connection:
                (due,) = await deliveries.lease(connection, 9)
                (again,) = await deliveries.lease(connection, 9, now=clock.now() + LEASE)
                assert (again.id, again.attempts) == (due.id, 2)

    run(main())
