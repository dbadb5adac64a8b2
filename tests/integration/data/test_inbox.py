"""What the inbox forgets, and what it must not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.kit import clock, inbox
from data.kit.database import Database
from data.kit.ids import new_id
from tests.integration.data.running import run

DAY = timedelta(days=1)


async def left(database: Database, ages: dict[str, timedelta]) -> set[str]:
    """Which events a sweep leaves; of each the name and how long ago it was recorded, oldest first."""
    ids = {new_id(): name for name in ages}
    async with database.transaction() as connection:
        for event, name in ids.items():
            await inbox.record(connection, "shop", [event])
            await connection.execute(
                "UPDATE inbox SET received_at = now() - %s WHERE event_id = %s", [ages[name], event]
            )
    async with database.transaction() as connection:
        await inbox.delete_expired(connection)
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT event_id FROM inbox")
        return {ids[event] for (event,) in await cursor.fetchall()}


def test_what_is_old_is_forgotten(shop_url: str) -> None:
    async def main() -> set[str]:
        async with Database(shop_url) as database:
            return await left(
                database, {"old": inbox.RETENTION + DAY, "young": inbox.RETENTION - DAY, "new": timedelta(0)}
            )

    assert run(main()) == {"young", "new"}


def test_after_a_long_outage_what_the_broker_may_deliver_again_is_known(shop_url: str) -> None:
    async def main() -> set[str]:
        away = inbox.RETENTION + 10 * DAY
        async with Database(shop_url) as database:
            return await left(database, {"old": away + inbox.RETENTION + DAY, "before": away + DAY, "last": away})

    assert run(main()) == {"before", "last"}


@pytest.mark.parametrize("ahead", [-30 * DAY, 30 * DAY], ids=str)
def test_the_clock_of_the_process_alone_forgets_nothing(
    shop_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + ahead)

    async def main() -> set[str]:
        async with Database(shop_url) as database:
            return await left(database, {"young": inbox.RETENTION - DAY, "new": timedelta(0)})

    assert run(main()) == {"young", "new"}
