"""The outbox's sequences: no gap and no duplicate under concurrent writers and rollbacks."""

from __future__ import annotations

import asyncio
import json
import random
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.contracts.common import OrderRequest
from data.kit import outbox
from data.kit.database import Database
from data.kit.ids import new_id
from data.shop import repository
from tests.support.databases import cancelled, initiated


class ChangedMyMind(Exception):
    """Rolls a transaction back."""


WRITES = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 3)), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITES)
async def test_sequences_have_no_gap_under_concurrent_rollbacks(
    shop_url: str, writes: list[tuple[int, bool, int]]
) -> None:
    subjects = [new_id() for _ in range(3)]

    async def write(database: Database, subject: UUID, commits: bool, count: int) -> int:
        try:
            async with database.transaction() as connection:
                await outbox.append(connection, *(cancelled("anywhere", subject) for _ in range(count)))
                await asyncio.sleep(random.random() / 1000)
                if not commits:
                    raise ChangedMyMind
        except ChangedMyMind:
            return 0
        return count

    async with Database(shop_url) as database:
        committed = await asyncio.gather(*(write(database, subjects[n], commits, k) for n, commits, k in writes))
    for n, subject in enumerate(subjects):
        with psycopg.connect(shop_url) as connection:
            rows = connection.execute("SELECT value FROM outbox WHERE subject = %s ORDER BY id", [str(subject)])
            got = [json.loads(value)["sequence"] for (value,) in rows]
        expected = sum(count for count, (of, *_) in zip(committed, writes, strict=True) if of == n)
        assert got == list(range(1, expected + 1))


async def test_the_error_of_an_unfetched_statement_commits_nothing(shop_url: str) -> None:
    request, order_id = OrderRequest(process="casting", material="brass", quantity=1), new_id()

    async def create() -> None:
        async with database.transaction() as connection:
            await repository.create(connection, initiated(order_id, "me", request))
            await outbox.append(connection, cancelled("anywhere", order_id))

    async with Database(shop_url) as database:
        await create()
        with pytest.raises(psycopg.errors.UniqueViolation):
            await create()
    with psycopg.connect(shop_url) as reader:
        count = reader.execute("SELECT count(*) FROM outbox").fetchone()
    assert count == (2,), "the first order and its cancellation, and nothing of the second"
