"""Events that the shop handles (prices, decisions and production), and the timer that fails overdue prices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from data.contracts.crm import OrderWithdrawn
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Actor, Step
from data.contracts.pricing import QuoteNeedsReview, QuotePriced
from data.contracts.shop import PricingOverdue
from data.contracts.topics import QUOTES
from data.kit.consumer import Consumer
from data.kit.database import Connection, Database
from data.kit.group_lag import GroupLag
from data.kit.timers import Timer
from data.orders.sequencing import actor_and_revision, next_step, order_id_of
from data.shop import repository
from data.shop.repository import ShopOrderRow
from serve_app.kit.background import BackgroundTasks, add_messaging
from serve_app.kit.settings import settings
from serve_app.shop.service import withdraw_quote

_TIMER_INTERVAL_S = 5.0


async def handle_event(connection: Connection, _event: CloudEvent, data: EventData) -> None:
    """Apply the step of another service's event; raises PredecessorMissing if an earlier event is missing."""
    order_id = order_id_of(data)
    order = await repository.lock(connection, order_id) if order_id else None
    if order is None:
        return
    step = next_step(order.status, order.revision, order.quote_id, data, order.held_from)
    if step is None:
        return
    changes: dict[str, Any] = {"quote": data.quote} if isinstance(data, QuotePriced | QuoteNeedsReview) else {}
    by, revision = actor_and_revision(data)
    await repository.move(connection, order, step, by, event_revision=revision, **changes)
    if isinstance(data, OrderWithdrawn):
        await withdraw_quote(connection, order)


async def fail_overdue(connection: Connection) -> None:
    """Fail orders whose price is overdue, and cancel its pricing; a price calculated meanwhile still counts."""
    for order in await repository.overdue(connection, timedelta(seconds=settings().pricing_overdue_s)):
        await repository.move(connection, order, Step.FAIL_PRICE, Actor.TIMER.value, Actor.TIMER, make_event=_overdue)
        await withdraw_quote(connection, order)


def _overdue(order: ShopOrderRow) -> PricingOverdue:
    assert order.quote_id is not None  # set when it was submitted
    return PricingOverdue(order_id=order.id, by=Actor.TIMER.value, revision=order.revision, quote_id=order.quote_id)


def overdue_timer(kafka_url: str) -> Timer:
    """Return the timer of overdue prices; time counts while the broker answers and the shop has handled its quotes."""
    lag = GroupLag(kafka_url, "shop", [QUOTES])
    return Timer(repository.OVERDUE_TIMER, _TIMER_INTERVAL_S, [lag.keeps_up])


def register_background(tasks: BackgroundTasks, database: Database) -> None:
    """Add the shop's relay, consumer and timer."""
    kafka_url = settings().needed("kafka_url")
    add_messaging(tasks, "shop", database, Consumer("shop", handle_event, database, kafka_url))
    tasks.add("shop timer", overdue_timer(kafka_url).run(database, fail_overdue))
