"""The repositories of pricing, CRM, status and identity."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from data.contracts.common import QuoteReason, QuoteSummary
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Actor, IllegalStep, OrderStatus, Step
from data.contracts.shop import OrderSubmitted, QuoteRequested
from data.crm import repository as crm
from data.identity import repository as identity
from data.kit import clock, parking, secrets
from data.kit.applier import Applier, Handler
from data.kit.database import Connection, Database
from data.kit.errors import StaleVersion
from data.kit.ids import new_id
from data.kit.paging import START
from data.pricing import repository as pricing
from data.pricing.repository import QuoteStatus
from data.status import repository as status
from tests.support.databases import message_of, set_operating_time
from tests.support.event_examples import ORDER_REQUEST, SHA, SUMMARY
from tests.support.order_events import life

S = OrderStatus
Migrated = Callable[[str], str]


class TestPricing:
    async def test_a_quote_is_finished_once(self, migrated: Migrated) -> None:
        request = QuoteRequested(quote_id=new_id(), owner_id="mes", model_sha256=SHA, unit="mm", **ORDER_REQUEST)

        async with Database(migrated("pricing")) as database:
            async with database.transaction() as connection:
                assert await pricing.create(connection, request)
                assert not await pricing.create(connection, request)
                assert await pricing.start(connection, request.quote_id)
                assert await pricing.progress(connection, request.quote_id, 0.5, Decimal(1), Decimal(2), "EUR")
                assert not await pricing.progress(connection, request.quote_id, 0.4, Decimal(0), Decimal(9), "EUR")

            async def finish(outcome: QuoteStatus) -> bool:
                async with database.transaction() as connection:
                    done = await pricing.finish(connection, request.quote_id, outcome, result={"total": "2.00"})
                    return done is not None

            outcomes = await asyncio.gather(
                *(finish(outcome) for outcome in (QuoteStatus.DONE, QuoteStatus.CANCELLED) * 5)
            )
            assert sum(outcomes) == 1
            async with database.connection() as connection:
                assert not await pricing.start(connection, request.quote_id)
                stored = await pricing.get(connection, request.quote_id)
                assert stored is not None
                assert (stored.interval_low, stored.progress, stored.result) == (Decimal(1), 1.0, {"total": "2.00"})
                assert await pricing.unfinished(connection, request.priority) == []
                assert len(await pricing.of_owner(connection, "mes", START, 5)) == 1


class TestCrm:
    @pytest.mark.parametrize("jump", [timedelta(0), timedelta(hours=1), timedelta(days=400)], ids=str)
    async def test_a_quote_expires_by_the_wall_clock_and_operating_time(
        self, migrated: Migrated, jump: timedelta
    ) -> None:
        left = timedelta(days=14)
        quote = SUMMARY.model_copy(update={"expires_at": clock.now() + left})
        submitted = OrderSubmitted(
            order_id=new_id(), by="me", owner_id="me", quote_id=new_id(), revision=3, model_sha256=SHA, unit="mm",
            **ORDER_REQUEST,
        )  # fmt: skip

        async with Database(migrated("crm")) as database:
            await set_operating_time(database, crm.EXPIRY_TIMER, 5_000_000)

            async def expired(at: datetime) -> int:
                async with database.transaction() as connection:
                    return len(await crm.expired(connection, at))

            async with database.transaction() as connection:
                await crm.open_order(connection, submitted)
                order = await crm.lock(connection, submitted.order_id)
                assert order is not None
                order = await crm.move(connection, order, Step.PRICE, quote=quote)
                await crm.annotate(connection, order, "a note does not restart the timer")
            past = quote.expires_at + timedelta(seconds=1) + jump
            two_hours_short = 5_000_000 + 1000 * int((left - timedelta(hours=2)).total_seconds())
            await set_operating_time(database, crm.EXPIRY_TIMER, two_hours_short)
            assert await expired(past) == 0, (
                "neither an outage of two hours nor a clock that is ahead shortens the wait"
            )
            await set_operating_time(database, crm.EXPIRY_TIMER, two_hours_short + 2 * 3600 * 1000 + 2000)
            assert await expired(quote.expires_at - timedelta(seconds=1)) == 0, "never before the promised instant"
            assert await expired(past) == 1

    async def test_an_order_awaits_a_decision_until_its_quote_expires(self, migrated: Migrated) -> None:
        submitted = OrderSubmitted(
            order_id=new_id(), by="me", owner_id="me", quote_id=new_id(), revision=3, model_sha256=SHA, unit="mm",
            **ORDER_REQUEST,
        )  # fmt: skip

        async with Database(migrated("crm")) as database:
            async with database.transaction() as connection:
                assert await crm.open_order(connection, submitted)
                assert not await crm.open_order(connection, submitted)
                order = await crm.lock(connection, submitted.order_id)
                assert order is not None
                reasons = (QuoteReason(code="thin", severity="warning", message="thin"),)
                order = await crm.move(connection, order, Step.REQUIRE_REVIEW, quote=SUMMARY, reasons=reasons)
                assert (order.expires_at, order.revision) == (SUMMARY.expires_at, 4)
            await set_operating_time(database, crm.EXPIRY_TIMER, 10**15)
            async with database.transaction() as connection:
                assert await crm.expired(connection, SUMMARY.expires_at) == []
                (late,) = await crm.expired(connection, SUMMARY.expires_at + timedelta(seconds=1))
                assert late == order.model_copy(update={"created_at": late.created_at})
                order = await crm.annotate(connection, order, "call them")
                order = await crm.move(connection, order, Step.RELEASE, Actor.SELLER)
                order = await crm.move(connection, order, Step.APPROVE, Actor.SELLER)
                assert await crm.expired(connection, clock.now() + timedelta(days=999)) == []
            async with database.connection() as connection:
                (board_row,) = await crm.board(connection, S.MANUFACTURING_APPROVED, START, 10)
                row = await crm.get(connection, submitted.order_id)
                assert row is not None
                assert (row.note, row.version, row.reasons, row.quote) == ("call them", 5, reasons, SUMMARY)
                body = json.loads(board_row.text)
                assert body["order_id"] == str(row.id)
                assert {name: body[name] for name in ("note", "status", "quantity")} == {
                    "note": "call them", "status": row.status, "quantity": row.quantity
                }  # fmt: skip
                assert QuoteSummary.model_validate(body["quote"]) == row.quote
                assert await crm.board(connection, S.SUBMITTED, START, 10) == []
                assert len(await crm.board(connection, None, START, 10)) == 1
                with pytest.raises(StaleVersion):
                    await crm.lock(connection, submitted.order_id, version=4)
                with pytest.raises(IllegalStep, match="legal steps: cancel, hold"):
                    await crm.move(connection, row, Step.APPROVE, Actor.SELLER)


class TestStatus:
    async def test_concurrent_events_in_any_order_give_one_history(self, migrated: Migrated) -> None:
        """Every arrival is a separate concurrent transaction: no early event misses its predecessor."""
        async with Database(migrated("status")) as database:
            for seed in range(8):
                order_id = new_id()
                events, history = life(random.Random(seed), 20)
                arrivals = random.Random(seed).sample([*events, *events], 2 * len(events))
                applier = Applier("status", applies_to(order_id), database)
                await asyncio.gather(*(applier.apply([message_of(event)]) for event in arrivals))
                async with database.connection() as connection:
                    lines = await status.history(connection, order_id)
                    assert [line.status for line in lines] == history
                    assert [line.n for line in lines] == list(range(1, len(history) + 1))
                    assert await status.history(connection, order_id, after=2) == lines[2:]
                    order = await status.get(connection, order_id)
                    assert order is not None
                    assert (order.status, order.owner_id) == (history[-1], "customer-1")
                    assert await parking.counts(connection, "status") == (0, 0)
                assert applier.applied == len(events)

    async def test_an_order_without_its_first_event_is_not_returned(self, migrated: Migrated) -> None:
        order_id = new_id()
        events = next(events for events, _ in (life(random.Random(n), 6) for n in range(99)) if len(events) == 6)
        async with Database(migrated("status")) as database:
            applier = Applier("status", applies_to(order_id), database)
            assert await applier.apply([message_of(events[-1])]) == []
            async with database.connection() as connection:
                assert await status.get(connection, order_id) is None
            for event in events[:-1]:
                await applier.apply([message_of(event)])
            async with database.connection() as connection:
                assert [line.n for line in await status.history(connection, order_id)] == [1, 2, 3, 4, 5, 6]
                assert [each.id for each in await status.of_owner(connection, "customer-1", START, 5)] == [order_id]


def applies_to(order_id: UUID) -> Handler:
    """Return a handler that applies every event to one order of the status service."""

    async def apply(connection: Connection, event: CloudEvent, _data: EventData) -> None:
        await status.apply(connection, order_id, event)

    return apply


class TestIdentity:
    async def test_a_user_signs_in_with_the_right_password_only(self, migrated: Migrated) -> None:
        async with Database(migrated("identity")) as database, database.connection() as connection:
            await identity.add_user(connection, "Ann", "correct horse", ["seller", "operator"])
            await identity.add_user(connection, "ann", "another", ["admin"])
            ann = await identity.sign_in(connection, "ANN", "correct horse")
            assert ann is not None
            assert (ann.username, ann.roles) == ("ann", ("seller", "operator"))
            assert await identity.get(connection, ann.id) == ann
            assert await identity.sign_in(connection, "ann", "another") is None
            assert await identity.sign_in(connection, "nobody", "correct horse") is None
            row = await (await connection.execute("SELECT password FROM users")).fetchone()
            assert row is not None
            assert row[0].startswith("$argon2id$")

    async def test_a_service_signs_in_with_its_secret_only(self, migrated: Migrated) -> None:
        async with Database(migrated("identity")) as database, database.connection() as connection:
            secret = secrets.new("facet")
            await identity.add_client(connection, "mes", secret, ["pricing-client"])
            client = await identity.client(connection, "mes", secret)
            assert client is not None
            assert client.roles == ("pricing-client",)
            assert await identity.client(connection, "mes", secrets.new("facet")) is None
            assert await identity.client(connection, "crm", secret) is None
