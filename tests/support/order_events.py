"""Events of orders as their services would write them, and a reader that projects them."""

from __future__ import annotations

import json
import random
from typing import Any

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import FINAL, GRAPH, OrderStatus, Step, advance
from data.contracts.pricing import QuoteEvent
from data.contracts.shop import OrderInitiated
from data.kit.ids import new_id
from data.orders.projection import HistoryEntry, OrderState, apply_event
from data.orders.sequencing import PredecessorMissing
from tests.support import event_examples as examples

S = OrderStatus


class OrderEvents:
    """Events of one order as their services would write them, with their sequences."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[CloudEvent] = []

    def publish(self, kind: type[EventData], revision: int | None = None, **members: Any) -> None:
        example = next(event for event in examples.EVENTS if type(event) is kind).model_dump()
        if issubclass(kind, shop.OrderSubmitted):
            self.quote_id = members.setdefault("quote_id", new_id())
        elif issubclass(kind, QuoteEvent):
            members.setdefault("quote_id", self.quote_id)
        event = kind.model_validate({**example, "revision": revision, **members})
        self.counts[kind.SOURCE] = self.counts.get(kind.SOURCE, 0) + 1
        message = json.loads(examples.message(event, self.counts[kind.SOURCE]))
        self.events.append(CloudEvent.model_validate(message))


def submitted() -> OrderEvents:
    order = OrderEvents()
    order.publish(shop.OrderInitiated, 1)
    order.publish(shop.ModelUploaded, 2)
    order.publish(shop.OrderSubmitted, 3)
    return order


def of_partner(events: list[CloudEvent], partner: object) -> list[CloudEvent]:
    """Return the events as those of a partner's order."""
    return [
        event.model_copy(update={"data": {**event.data, "owner_id": str(partner), "partner": True}})
        if event.type == OrderInitiated.event_type()
        else event
        for event in events
    ]


def kind_of(step: Step, status: OrderStatus, choose: random.Random) -> type[EventData]:
    """Return the event type that reports a step from a status."""
    failures: list[type[EventData]] = [shop.PricingOverdue, pricing.QuoteFailed]
    rejected: type[EventData] = crm.OrderRejected
    if status is S.SUBMITTED:
        rejected = pricing.QuoteRejected
    ambiguous: dict[Step, type[EventData]] = {
        Step.CANCEL: choose.choice([shop.OrderCancelled, crm.OrderWithdrawn]),
        Step.REJECT: rejected,
        Step.FAIL_PRICE: choose.choice(failures),
        Step.HOLD: choose.choice([crm.OrderHeld, mes.ProductionHeld]),
        Step.RESUME: choose.choice([crm.OrderResumed, mes.ProductionResumed]),
    }
    plain: dict[Step, type[EventData]] = {
        Step.UPLOAD: shop.ModelUploaded,
        Step.SUBMIT: shop.OrderSubmitted,
        Step.PRICE: pricing.QuotePriced,
        Step.REQUIRE_REVIEW: pricing.QuoteNeedsReview,
        Step.RELEASE: crm.OrderReleased,
        Step.EXPIRE: crm.QuoteExpired,
        Step.APPROVE: crm.OrderApproved,
        Step.CLAIM: mes.ProductionStarted,
        Step.COMPLETE: mes.ProductionCompleted,
        Step.PACKAGE: mes.ProductionPackaged,
        Step.SHIP: mes.ProductionShipped,
        Step.REWORK: mes.ReworkOrdered,
        Step.CLOSE: crm.OrderClosed,
    }
    return {**plain, **ambiguous}[step]


def life(choose: random.Random, longest: int) -> tuple[list[CloudEvent], list[OrderStatus]]:
    """Return the events and the true history of a random order."""
    order, status, held_from = OrderEvents(), S.INITIATED, None
    order.publish(shop.OrderInitiated, 1)
    history = [status]
    while status not in FINAL and len(history) < longest:
        steps = sorted(step for source, step in GRAPH if source is status)
        if status is S.PRICE_FAILED:  # a late price crosses PricingOverdue: see its test
            steps = [step for step in steps if step not in (Step.PRICE, Step.REQUIRE_REVIEW)]
        step = choose.choice(steps)
        order.publish(kind_of(step, status, choose), len(history) + 1)
        status, held_from = advance(status, step, held_from=held_from), status if step is Step.HOLD else None
        history.append(status)
    return order.events, history


class Reader:
    """Apply events as a consumer does: early ones are parked, each with the later ones of its source."""

    def __init__(self) -> None:
        self.state, self.entries, self.parked = OrderState(), list[HistoryEntry](), list[CloudEvent]()

    def take(self, *arrivals: CloudEvent) -> None:
        for event in arrivals:
            if event.id not in {parked.id for parked in self.parked}:
                self.parked.append(event)
            while any(self._applied(parked) for parked in list(self.parked)):
                pass

    def _applied(self, event: CloudEvent) -> bool:
        try:
            self.state, entry = apply_event(OrderState.model_validate_json(self.state.model_dump_json()), event)
        except PredecessorMissing:
            return False
        self.parked.remove(event)
        self.entries += [entry] if entry else []
        return True


def read(*arrivals: CloudEvent) -> Reader:
    reader = Reader()
    reader.take(*arrivals)
    return reader
