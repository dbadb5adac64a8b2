"""Idempotency keys: a thousand equal requests at once have one effect and one answer."""

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
from tests.integration.data.running import initiated, run

WISH = OrderRequest(process="casting", material="brass", quantity=1)


async def order(database: Database, request: IdempotentRequest) -> tuple[dict[str, Any], bool]:
    """An order per request."""
    async with database.transaction() as connection:

        async def work() -> dict[str, Any]:
            ident = new_id()
            await repository.create(connection, initiated(ident, request.caller, WISH))
            return {"order_id": str(ident)}

        return await idempotency.run_once(connection, request, work)


def orders(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
        assert row is not None
        return int(row[0])


def test_a_thousand_at_once_make_one_order(shop_url: str) -> None:
    async def main() -> list[tuple[dict[str, Any], bool]]:
        async with Database(shop_url) as database:
            waiting = asyncio.Semaphore(50)

            async def one() -> tuple[dict[str, Any], bool]:
                async with waiting:
                    return await order(database, IdempotentRequest.of("me", "key", b"body"))

            return await asyncio.gather(*(one() for _ in range(1000)))

    answers = run(main())
    assert len({answer["order_id"] for answer, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert orders(shop_url) == 1


def test_another_body_is_refused_and_another_caller_is_not(shop_url: str) -> None:
    async def main() -> None:
        async with Database(shop_url) as database:
            await order(database, IdempotentRequest.of("me", "key", b"body"))
            with pytest.raises(KeyReused):
                await order(database, IdempotentRequest.of("me", "key", b"other body"))
            await order(database, IdempotentRequest.of("you", "key", b"other body"))

    run(main())
    assert orders(shop_url) == 2


def test_a_request_that_failed_left_no_answer(shop_url: str) -> None:
    async def main() -> bool:
        async with Database(shop_url) as database:

            async def fails() -> dict[str, Any]:
                raise ZeroDivisionError

            request = IdempotentRequest.of("me", "key", b"body")
            with pytest.raises(ZeroDivisionError):
                async with database.transaction() as connection:
                    await idempotency.run_once(connection, request, fails)
            return (await order(database, request))[1]

    assert run(main()) is False
    assert orders(shop_url) == 1


def test_parts_of_a_body_do_not_run_together() -> None:
    assert (
        IdempotentRequest.of("me", "k", b"ab", b"c").body_sha256
        != IdempotentRequest.of("me", "k", b"a", b"bc").body_sha256
    )


@pytest.mark.parametrize("ahead", [timedelta(days=-30), timedelta(0), timedelta(days=30)], ids=str)
def test_a_sweep_forgets_old_keys_whatever_the_clock_of_its_process_shows(
    shop_url: str, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    fresh, old = IdempotentRequest.of("me", "fresh", b"body"), IdempotentRequest.of("me", "old", b"body")
    now = clock.now()

    async def main() -> tuple[bool, bool]:
        async with Database(shop_url) as database:
            for request in (fresh, old):
                await order(database, request)
            async with database.connection() as connection:
                made = "UPDATE idempotency_keys SET created_at = now() - %s WHERE key = 'old'"
                await connection.execute(made, [idempotency.RETENTION + timedelta(hours=1)])
                monkeypatch.setattr(clock, "now", lambda: now + ahead)
                await idempotency.delete_expired(connection)
            return (await order(database, fresh))[1], (await order(database, old))[1]

    assert run(main()) == (True, ahead < timedelta(0)), "in doubt a key is kept"
