"""A price that is no longer needed: its withdrawal stops pricing, whatever arrives first."""

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
from data.contracts.envelope import CloudEvent
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
from tests.support import event_examples as examples
from tests.support.databases import initiated, set_operating_time, while_running
from tests.support.quote_jobs import MODEL, SHA, Jobs, Slow, add_quote
from tests.support.waiting import until

Migrated = Callable[[str], str]
ORDER_REQUEST = OrderRequest(
    process="casting", material="brass", finish="polished", quantity=2, priority=Priority.STANDARD
)
CUSTOMER = Principal("me", frozenset({Role.CUSTOMER}))
EXPRESS = "pricing.requests.express.v1"


def request(priority: Priority = Priority.BULK) -> tuple[QuoteRequested, QuoteWithdrawn]:
    """Return the request of an order and its withdrawal."""
    example = next(each for each in examples.EVENTS if isinstance(each, QuoteRequested)).model_dump()
    requested = QuoteRequested.model_validate(
        {**example, "quote_id": new_id(), "order_id": new_id(), "priority": priority}
    )
    return requested, QuoteWithdrawn(quote_id=requested.quote_id, order_id=requested.order_id, priority=priority)


async def outbox_messages(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
    """Return topic and message of every event in the outbox."""
    rows = await (await connection.execute("SELECT topic, value FROM outbox ORDER BY id")).fetchall()
    return [(topic, json.loads(value)) for topic, value in rows]


def types(messages: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [message["type"].split(".")[1] for _, message in messages]


async def handle(database: Database, data: QuoteRequested | QuoteWithdrawn) -> None:
    """Handle an event as pricing's consumer does."""
    async with database.transaction() as connection:
        await handle_event(connection, CloudEvent.model_validate_json(examples.message(data)), data)


@pytest.mark.parametrize("priority", Priority)
def test_withdrawals_are_published_where_no_backlog_delays_them(priority: Priority) -> None:
    requested, withdrawn = request(priority)
    assert (requested.topic, withdrawn.topic) == (f"pricing.requests.{priority}.v1", EXPRESS)
    assert requested.subject == withdrawn.subject


@pytest.mark.parametrize("overtakes", [True, False])
async def test_a_withdrawal_prevails_before_or_after_its_request(migrated: Migrated, overtakes: bool) -> None:
    requested, withdrawn = request()

    async with Database(migrated("pricing")) as database:
        for data in (withdrawn, requested) if overtakes else (requested, withdrawn):
            await handle(database, data)
            await handle(database, data)  # a message may arrive twice
        async with database.connection() as connection:
            quote = await quotes.get(connection, requested.quote_id)
            assert quote is not None
            assert (quote.status, quote.owner_id) == (QuoteStatus.CANCELLED, requested.owner_id)
            assert (quote.model_sha256, quote.quantity) == (requested.model_sha256, requested.quantity)
            assert await quotes.unfinished(connection, requested.priority) == []
            messages = await outbox_messages(connection)
            assert types(messages) == ["QuoteCancelled"]
            assert messages[0][1]["data"]["owner_id"] == requested.owner_id


async def test_a_withdrawal_without_a_request_creates_no_quote(migrated: Migrated) -> None:
    _, withdrawn = request()

    async with Database(migrated("pricing")) as database:
        await handle(database, withdrawn)
        async with database.connection() as connection:
            assert await outbox_messages(connection) == []


async def test_a_withdrawal_does_not_change_a_finished_quote(migrated: Migrated) -> None:
    requested, withdrawn = request()

    async with Database(migrated("pricing")) as database:
        await handle(database, requested)
        async with database.transaction() as connection:
            await quotes.finish(connection, requested.quote_id, QuoteStatus.DONE, {"total": "2.00"})
        await handle(database, withdrawn)
        async with database.connection() as connection:
            quote = await quotes.get(connection, requested.quote_id)
            assert quote is not None
            assert (quote.status, quote.result) == (QuoteStatus.DONE, {"total": "2.00"})
            assert await outbox_messages(connection) == []


async def test_concurrent_requests_and_withdrawals_leave_nothing_to_price(migrated: Migrated) -> None:
    async with Database(migrated("pricing")) as database:
        both = [data for _ in range(100) for data in request()]
        random.shuffle(both)
        await asyncio.gather(*(handle(database, data) for data in both))
        async with database.connection() as connection:
            assert await quotes.unfinished(connection, Priority.BULK) == []
            assert types(await outbox_messages(connection)) == 100 * ["QuoteCancelled"]


async def test_a_withdrawal_cancels_the_job_without_waiting_for_the_next_poll(
    migrated: Migrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "POLL_INTERVAL_S", 1e6)
    jobs = Jobs()

    store = ModelStore(tmp_path.as_uri(), 1 << 20)
    async with store.receive() as incoming:
        await incoming.write(MODEL)
        await store.save(incoming)
    async with Database(migrated("pricing")) as database:
        worker = QuoteWorker(database, store, jobs, Slow())
        withdrawn, active = [await add_quote(database, SHA) for _ in range(2)]

        async def withdrawing() -> None:
            await until(lambda: len(jobs.outcomes) == 2)
            worker.withdraw([withdrawn, new_id()])
            await until(lambda: jobs.cancelled == [str(withdrawn)])
            jobs.outcomes[str(active)].set_result(
                JobOutcome(str(active), JobStatus.FAILED, code="deadline", message="slow")
            )

            async def failed() -> bool:
                async with database.connection() as connection:
                    quote = await quotes.get(connection, active)
                return quote is not None and quote.error == "deadline: slow"

            await until(failed)

        await while_running(worker.run(), work=withdrawing())


async def test_a_new_quote_worker_cancels_the_jobs_of_quotes_that_were_cancelled_before(
    migrated: Migrated, tmp_path: Path
) -> None:
    """The former worker was killed between the commit of a cancellation and its call to the dispatcher."""
    (cancelled, withdrawn), (waiting, _) = request(), request()

    async with Database(migrated("pricing")) as database:
        for event in (cancelled, waiting, withdrawn):
            await handle(database, event)
        jobs = Jobs()
        jobs.running = [str(cancelled.quote_id), str(waiting.quote_id), "a job of another client"]
        worker = QuoteWorker(database, ModelStore(tmp_path.as_uri(), 1 << 20), jobs, Slow())
        await while_running(worker.run(), work=until(lambda: bool(jobs.cancelled)))
        assert jobs.cancelled == [str(cancelled.quote_id)]


async def submitted(database: Database) -> UUID:
    """Create an order that waits for its price; return its id."""
    order_id = new_id()
    async with database.transaction() as connection:
        await orders.create(connection, initiated(order_id, CUSTOMER.id, ORDER_REQUEST))
        order = await orders.lock(connection, order_id)
        assert order is not None
        await orders.move(connection, order, Step.UPLOAD, CUSTOMER.id, model_sha256=examples.SHA, unit="mm")
        await service.submit(connection, StepRequest(order_id, CUSTOMER))
    return order_id


def withdrawals(messages: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Return topic and quote of each withdrawal."""
    found = zip(types(messages), messages, strict=True)
    return [(topic, message["data"]["quote_id"]) for name, (topic, message) in found if name == "QuoteWithdrawn"]


async def test_an_order_whose_price_is_overdue_withdraws_it(shop_url: str) -> None:
    async with Database(shop_url) as database:
        order_id = await submitted(database)
        async with database.transaction() as connection:
            await fail_overdue(connection)
            assert withdrawals(await outbox_messages(connection)) == [], "it is not overdue yet"
        await set_operating_time(database, orders.OVERDUE_TIMER, 86_400_000)
        for _ in range(2):
            async with database.transaction() as connection:
                await fail_overdue(connection)
        async with database.connection() as connection:
            order = await orders.get(connection, order_id)
            assert order is not None
            assert order.status is OrderStatus.PRICE_FAILED
            assert withdrawals(await outbox_messages(connection)) == [(EXPRESS, str(order.quote_id))]


@pytest.mark.parametrize("status", [OrderStatus.SUBMITTED, OrderStatus.PRICE_FAILED])
async def test_cancelling_an_order_withdraws_a_price_that_may_be_pending(shop_url: str, status: OrderStatus) -> None:
    async with Database(shop_url) as database:
        order_id = await submitted(database)
        async with database.transaction() as connection:
            order = await orders.lock(connection, order_id)
            assert order is not None
            if status is OrderStatus.PRICE_FAILED:
                await orders.move(connection, order, Step.FAIL_PRICE, "pricing")
            await service.cancel(connection, StepRequest(order_id, CUSTOMER), "no need")
            assert withdrawals(await outbox_messages(connection)) == [(EXPRESS, str(order.quote_id))]
