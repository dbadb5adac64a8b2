"""Every event of version 1: its type, its model, its topic, and the step that it means for the order."""

from __future__ import annotations

from dataclasses import dataclass

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Step


@dataclass(frozen=True, slots=True)
class Entry:
    """``step``: what the order does, None where its status stays. ``topics``: where the event may be."""

    model: type[EventData]
    step: Step | None
    topics: tuple[str, ...]


def _entry(model: type[EventData], step: Step | None = None) -> tuple[str, Entry]:
    topics = tuple(shop.REQUESTS.values()) if issubclass(model, shop.PricingRequest) else (model.TOPIC,)
    return model.event_type(), Entry(model, step, topics)


EVENTS: dict[str, Entry] = dict(
    [
        _entry(shop.OrderInitiated),
        _entry(shop.ModelUploaded, Step.UPLOAD),
        _entry(shop.OrderSubmitted, Step.SUBMIT),
        _entry(shop.OrderCancelled, Step.CANCEL),
        _entry(shop.PricingOverdue, Step.FAIL_PRICE),
        _entry(shop.QuoteRequested),
        _entry(shop.QuoteWithdrawn),
        _entry(pricing.QuotePriced, Step.PRICE),
        _entry(pricing.QuoteNeedsReview, Step.REQUIRE_REVIEW),
        _entry(pricing.QuoteRejected, Step.REJECT),
        _entry(pricing.QuoteFailed, Step.FAIL_PRICE),
        _entry(pricing.QuoteCancelled),
        _entry(crm.OrderReleased, Step.RELEASE),
        _entry(crm.OrderApproved, Step.APPROVE),
        _entry(crm.OrderRejected, Step.REJECT),
        _entry(crm.OrderClosed, Step.CLOSE),
        _entry(crm.OrderWithdrawn, Step.CANCEL),
        _entry(crm.QuoteExpired, Step.EXPIRE),
        _entry(crm.OrderHeld, Step.HOLD),
        _entry(crm.OrderResumed, Step.RESUME),
        _entry(mes.ProductionStarted, Step.CLAIM),
        _entry(mes.ProductionCompleted, Step.COMPLETE),
        _entry(mes.ProductionPackaged, Step.PACKAGE),
        _entry(mes.ProductionShipped, Step.SHIP),
        _entry(mes.ReworkOrdered, Step.REWORK),
        _entry(mes.ProductionHeld, Step.HOLD),
        _entry(mes.ProductionResumed, Step.RESUME),
    ]
)


def payload(event: CloudEvent) -> EventData | None:
    """What an event says, or None where this version does not know its type.

    Raises pydantic's ValidationError for a known type with members that are missing or wrong.
    """
    entry = EVENTS.get(event.type)
    return entry.model.model_validate(event.data) if entry else None
