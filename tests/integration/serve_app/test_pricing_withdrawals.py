"""A price that is not needed any more: whoever cancels or gives up says so, and pricing stops, whatever came first."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from data.contracts.common import OrderRequest, Priority
from data.contracts.lifecycle import OrderStatus, Step
from data.contracts.shop import QuoteRequested, QuoteWithdrawn
from data.kit.database import Connection, Database
from data.kit.ids import new_id
from data.model_store.store import ModelStore
from data.pricing import repository as quotes
from data.pricing.repository import QuoteStatus
from data.shop import repository as orders
from pricing_engine.distributed.jobs import JobOutcome, JobStatus
from serve_app.kit.order_steps import StepRequest
from serve_app.kit.principal import Principal, Role
from serve_app.pricing import quote_worker as worker_module
from serve_app.pricing.handlers import handle_event
from serve_app.pricing.quote_worker import QuoteWorker
from serve_app.shop import service
from serve_app.shop.handlers import fail_overdue
from tests.integration.data import conftest
from tests.integration.serve_app.test_pricing_quote_worker import MODEL, SHA, Jobs, Slow, ask
from tests.support import event_examples as examples
from tests.support.databases import initiated, run, set_operating_time, until, while_running

migrated, service_urls, shop_url = conftest.migrated, conftest.service_urls, conftest.shop_url

Migrated = Callable[[str], str]
WISH = OrderRequest(process="casting", material="brass", finish="polished", quantity=2, priority=Priority.STANDARD)
ME = Principal("me", frozenset({Role.CUSTOMER}))
EXPRESS = "pricing.requests.express.v1"


def request(priority: Priority = Priority.BULK) -> tuple[QuoteRequested, QuoteWithdrawn]:
    """A request of an order, and its withdrawal."""
    known = next(each for each in examples.EVENTS if isinstance(each, QuoteRequested)).model_dump()
    asked = QuoteRequested.model_validate({**known, "quote_id": new_id(), "order_id": new_id(), "priority": priority})
    return asked, QuoteWithdrawn(quote_id=asked.quote_id, order_id=asked.order_id, priority=priority)


async def sent(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """Topic and message of every event in the outbox."""
    rows = await (await connection.execute("SELECT topic, value FROM outbox ORDER BY id")).fetchall()
    return [(topic, json.loads(value)) for topic, value in rows]


def types(messages: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [message["type"].split(".")[1] for _, message in messages]


async def take(database: Database, data: QuoteRequested | QuoteWithdrawn) -> None:
    """Handle an event as pricing's consumer does."""
    async with database.transaction() as connection:
        await handle_event(connection, None, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", Priority)
def test_withdrawals_travel_where_no_backlog_delays_them(priority: Priority) -> None:
    asked, withdrawn = request(priority)
    assert (asked.topic, withdrawn.topic) == (f"pricing.requests.{priority}.v1", EXPRESS)
    assert asked.subject == withdrawn.subject


@pytest.mark.parametrize("overtakes", [True, False])
def test_a_withdrawal_wins_whether_it_comes_before_or_after_its_request(migrated: Migrated, overtakes: bool) -> None:
    asked, withdrawn = request()

    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            for data in (withdrawn, asked) if overtakes else (asked, withdrawn):
                await take(database, data)
                await take(database, data)  # a message may come twice
            async with database.connection() as connection:
                quote = await quotes.get(connection, asked.quote_id)
                assert quote is not None
                assert (quote.status, quote.owner_id) == (QuoteStatus.CANCELLED, asked.owner_id)
                assert (quote.model_sha256, quote.quantity) == (asked.model_sha256, asked.quantity)
                assert await quotes.unfinished(connection, asked.priority) == []
                messages = await sent(connection)
                assert types(messages) == ["QuoteCancelled"]
                assert messages[0][1]["data"]["owner_id"] == asked.owner_id

    run(main())


def test_a_withdrawal_without_a_request_is_nobodys_quote(migrated: Migrated) -> None:
    _, withdrawn = request()

    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            await take(database, withdrawn)
            async with database.connection() as connection:
                assert await sent(connection) == []

    run(main())


def test_a_withdrawal_leaves_a_quote_that_is_over_as_it_is(migrated: Migrated) -> None:
    asked, withdrawn = request()

    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            await take(database, asked)
            async with database.transaction() as connection:
                await quotes.finish(connection, asked.quote_id, QuoteStatus.DONE, {"total": "2.00"})
            await take(database, withdrawn)
            async with database.connection() as connection:
                quote = await quotes.get(connection, asked.quote_id)
                assert quote is not None
                assert (quote.status, quote.result) == (QuoteStatus.DONE, {"total": "2.00"})
                assert await sent(connection) == []

    run(main())


def test_requests_and_withdrawals_at_once_leave_nothing_to_price(migrated: Migrated) -> None:
    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            both = [data for _ in range(100) for data in request()]
            random.shuffle(both)
            await asyncio.gather(*(take(database, data) for data in both))
            async with database.connection() as connection:
                assert await quotes.unfinished(connection, Priority.BULK) == []
                assert types(await sent(connection)) == 100 * ["QuoteCancelled"]

    run(main())


def test_a_withdrawal_ends_the_job_without_waiting_for_the_next_poll(
    migrated: Migrated, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "POLL_INTERVAL_S", 1e6)
    jobs = Jobs()

    async def main() -> None:
        store = ModelStore(tmp_path.as_uri(), 1 << 20)
        async with store.receive() as incoming:
            await incoming.write(MODEL)
            await store.save(incoming)
        async with Database(migrated("pricing")) as database:
            worker = QuoteWorker(database, store, jobs, Slow())
            gone, stays = [await ask(database, SHA) for _ in range(2)]

            async def withdrawing() -> None:
                await until(lambda: len(jobs.ends) == 2)
                worker.withdraw([gone, new_id()])
                await until(lambda: jobs.cancelled == [str(gone)])
                jobs.ends[str(stays)].set_result(
                    JobOutcome(str(stays), JobStatus.FAILED, code="deadline", message="slow")
                )

                async def failed() -> bool:
                    async with database.connection() as connection:
                        quote = await quotes.get(connection, stays)
                    return quote is not None and quote.error == "deadline: slow"

                await until(failed)

            await while_running(worker.run(), work=withdrawing())

    run(main())


def test_a_desk_that_starts_ends_the_jobs_of_quotes_that_were_cancelled_without_it(
    migrated: Migrated, tmp_path: Path
) -> None:
    """The desk before it was killed between the commit of a cancellation and its call to the dispatcher."""
    (over, withdrawn), (waiting, _) = request(), request()

    async def main() -> None:
        async with Database(migrated("pricing")) as database:
            for event in (over, waiting, withdrawn):
                await take(database, event)
            jobs = Jobs()
            jobs.under_way = [str(over.quote_id), str(waiting.quote_id), "a job of somebody else"]
            worker = QuoteWorker(database, ModelStore(tmp_path.as_uri(), 1 << 20), jobs, Slow())
            await while_running(worker.run(), work=until(lambda: bool(jobs.cancelled)))
            assert jobs.cancelled == [str(over.quote_id)]

    run(main())


async def submitted(database: Database) -> UUID:
    """An order that waits for its price."""
    ident = new_id()
    async with database.transaction() as connection:
        await orders.create(connection, initiated(ident, ME.id, WISH))
        order = await orders.lock(connection, ident)
        assert order is not None
        await orders.move(connection, order, Step.UPLOAD, ME.id, model_sha256=examples.SHA, unit="mm")
        await service.submit(connection, StepRequest(ident, ME))
    return ident


def withdrawals(messages: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Topic and quote of each withdrawal."""
    found = zip(types(messages), messages, strict=True)
    return [(topic, message["data"]["quote_id"]) for name, (topic, message) in found if name == "QuoteWithdrawn"]


def test_an_order_whose_price_is_overdue_withdraws_it(shop_url: str) -> None:
    async def main() -> None:
        async with Database(shop_url) as database:
            ident = await submitted(database)
            async with database.transaction() as connection:
                await fail_overdue(connection)
                assert withdrawals(await sent(connection)) == [], "it has time"
            await set_operating_time(database, orders.OVERDUE_TIMER, 86_400_000)
            for _ in range(2):
                async with database.transaction() as connection:
                    await fail_overdue(connection)
            async with database.connection() as connection:
                order = await orders.get(connection, ident)
                assert order is not None
                assert order.status is OrderStatus.PRICE_FAILED
                assert withdrawals(await sent(connection)) == [(EXPRESS, str(order.quote_id))]

    run(main())


@pytest.mark.parametrize("status", [OrderStatus.SUBMITTED, OrderStatus.PRICE_FAILED])
def test_cancelling_an_order_withdraws_a_price_that_may_still_be_in_work(shop_url: str, status: OrderStatus) -> None:
    async def main() -> None:
        async with Database(shop_url) as database:
            ident = await submitted(database)
            async with database.transaction() as connection:
                order = await orders.lock(connection, ident)
                assert order is not None
                if status is OrderStatus.PRICE_FAILED:
                    await orders.move(connection, order, Step.FAIL_PRICE, "pricing")
                await service.cancel(connection, StepRequest(ident, ME), "no need")
                assert withdrawals(await sent(connection)) == [(EXPRESS, str(order.quote_id))]

    run(main())
