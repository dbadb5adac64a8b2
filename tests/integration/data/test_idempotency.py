"""Idempotency keys: a thousand equal concurrent requests have one effect and one response."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from data.contracts.common import OrderRequest
from data.kit import clock, idempotency
from data.kit.database import Database
from data.kit.errors import KeyReused
from data.kit.idempotency import IdempotentRequest
from data.kit.ids import new_id
from data.shop import repository
from tests.support.databases import initiated

ORDER_REQUEST = OrderRequest(process="casting", material="brass", quantity=1)


async def order(database: Database, request: IdempotentRequest) -> tuple[dict[str, Any], bool]:
    """Create an order once per request."""
    async with database.transaction() as connection:

        async def work() -> dict[str, Any]:
            order_id = new_id()
            await repository.create(connection, initiated(order_id, request.caller, ORDER_REQUEST))
            return {"order_id": str(order_id)}

        return await idempotency.run_once(connection, request, work)


def orders(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
        assert row is not None
        return int(row[0])


async def test_a_thousand_concurrent_requests_create_one_order(shop_url: str) -> None:
    async with Database(shop_url) as database:
        waiting = asyncio.Semaphore(50)

        async def one() -> tuple[dict[str, Any], bool]:
            async with waiting:
                return await order(database, IdempotentRequest.of("me", "key", b"body"))

        answers = await asyncio.gather(*(one() for _ in range(1000)))
    assert len({answer["order_id"] for answer, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert orders(shop_url) == 1


async def test_another_body_is_refused_and_another_caller_is_not(shop_url: str) -> None:
    async with Database(shop_url) as database:
        await order(database, IdempotentRequest.of("me", "key", b"body"))
        with pytest.raises(KeyReused):
            await order(database, IdempotentRequest.of("me", "key", b"other body"))
        await order(database, IdempotentRequest.of("you", "key", b"other body"))
    assert orders(shop_url) == 2


async def test_a_failed_request_stores_no_response(shop_url: str) -> None:
    async with Database(shop_url) as database:

        async def fails() -> dict[str, Any]:
            raise ZeroDivisionError

        request = IdempotentRequest.of("me", "key", b"body")
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as connection:
                await idempotency.run_once(connection, request, fails)
        result = (await order(database, request))[1]
    assert result is False
    assert orders(shop_url) == 1


def test_different_splits_of_a_body_have_different_hashes() -> None:
    assert (
        IdempotentRequest.of("me", "k", b"ab", b"c").body_sha256
        != IdempotentRequest.of("me", "k", b"a", b"bc").body_sha256
    )


@pytest.mark.parametrize("ahead", [timedelta(days=-30), timedelta(0), timedelta(days=30)], ids=str)
async def test_old_keys_are_deleted_despite_a_wrong_process_clock(
    shop_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    recent, old = IdempotentRequest.of("me", "recent", b"body"), IdempotentRequest.of("me", "old", b"body")
    now = clock.now()

    async with Database(shop_url) as database:
        for request in (recent, old):
            await order(database, request)
        async with database.connection() as connection:
            make_old = "UPDATE idempotency_keys SET created_at = now() - %s WHERE key = 'old'"
            await connection.execute(make_old, [idempotency.RETENTION + timedelta(hours=1)])
            monkeypatch.setattr(clock, "now", lambda: now + ahead)
            await idempotency.delete_expired(connection)
        result = (await order(database, recent))[1], (await order(database, old))[1]
    assert result == (True, ahead < timedelta(0)), "if in doubt, a key is retained"
