"""The inbox deletes old rows, and none that the broker may still deliver."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.kit import clock, inbox
from data.kit.database import Database
from data.kit.ids import new_id

DAY = timedelta(days=1)


async def remaining(database: Database, ages: dict[str, timedelta]) -> set[str]:
    """Return the names of the events that remain; ``ages``: how long ago each was recorded, oldest first."""
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


async def test_old_rows_are_deleted(shop_url: str) -> None:
    async with Database(shop_url) as database:
        result = await remaining(
            database, {"old": inbox.RETENTION + DAY, "young": inbox.RETENTION - DAY, "new": timedelta(0)}
        )
    assert result == {"young", "new"}


async def test_after_a_long_outage_deliverable_events_are_still_recorded(shop_url: str) -> None:
    away = inbox.RETENTION + 10 * DAY
    async with Database(shop_url) as database:
        result = await remaining(database, {"old": away + inbox.RETENTION + DAY, "before": away + DAY, "last": away})
    assert result == {"before", "last"}


@pytest.mark.parametrize("ahead", [-30 * DAY, 30 * DAY], ids=str)
async def test_the_process_clock_alone_deletes_nothing(
    shop_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + ahead)

    async with Database(shop_url) as database:
        result = await remaining(database, {"young": inbox.RETENTION - DAY, "new": timedelta(0)})
    assert result == {"young", "new"}
