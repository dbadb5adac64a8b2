"""What the shop hears: prices, decisions and production of its orders; and the timer for prices that do not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from data.contracts.crm import OrderWithdrawn
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Actor, OrderStatus, Step
from data.contracts.pricing import QuoteNeedsReview, QuotePriced
from data.contracts.shop import PricingOverdue
from data.kit import clock
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.shop import repository
from data.shop.repository import Order
from serve_app.kit.settings import settings
from serve_app.kit.told import order_of, step_to_take, told_by
from serve_app.kit.work import Work, add_messaging, every
from serve_app.shop.steps import withdraw_quote

_LOOK_EVERY_S = 5.0


async def hear(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Take the step that an event of another service means; raises PredecessorMissing where it is early."""
    ident = order_of(data)
    order = await repository.lock(connection, ident) if ident else None
    if order is None:
        return
    step = step_to_take(order.status, order.revision, order.quote_id, data)
    if step is None:
        return
    changes: dict[str, Any] = {"quote": data.quote} if isinstance(data, QuotePriced | QuoteNeedsReview) else {}
    by, told = told_by(data)
    await repository.move(connection, order, step, by, told=told, **changes)
    if isinstance(data, OrderWithdrawn) and order.status is OrderStatus.SUBMITTED:
        await withdraw_quote(connection, order)


async def give_up_waiting(connection: Connection) -> None:
    """Orders whose price is overdue fail; a price that comes later still counts."""
    before = clock.now() - timedelta(seconds=settings().pricing_overdue_s)
    for order in await repository.overdue(connection, before):
        await repository.move(connection, order, Step.FAIL_PRICE, Actor.TIMER.value, Actor.TIMER, tell=_overdue)


def _overdue(order: Order) -> PricingOverdue:
    assert order.quote_id is not None  # it was submitted
    return PricingOverdue(order_id=order.id, by=Actor.TIMER.value, revision=order.revision, quote_id=order.quote_id)


def add_to(work: Work, database: Database) -> None:
    """The shop's relay, consumer and timer."""
    add_messaging(work, "shop", database, Consumer("shop", hear, database, settings().needed("kafka_url")))
    work.add("shop timer", every(_LOOK_EVERY_S, database, give_up_waiting))
