"""Every event of version 1: its type, its model, its topics, and the step that it means for the order."""

from __future__ import annotations

from dataclasses import dataclass

from data.contracts import crm, mes, pricing, shop
from data.contracts.envelope import CloudEvent, EventData
from data.contracts.lifecycle import Step


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """An event type. ``step``: the order's step, None if its status does not change. ``topics``: those it may be in."""

    model: type[EventData]
    step: Step | None
    topics: tuple[str, ...]


def _define(model: type[EventData], step: Step | None = None) -> tuple[str, EventDefinition]:
    topics = tuple(shop.REQUEST_TOPICS.values()) if issubclass(model, shop.PricingRequest) else (model.TOPIC,)
    return model.event_type(), EventDefinition(model, step, topics)


EVENTS: dict[str, EventDefinition] = dict(
    [
        _define(shop.OrderInitiated),
        _define(shop.ModelUploaded, Step.UPLOAD),
        _define(shop.OrderSubmitted, Step.SUBMIT),
        _define(shop.OrderCancelled, Step.CANCEL),
        _define(shop.PricingOverdue, Step.FAIL_PRICE),
        _define(shop.QuoteRequested),
        _define(shop.QuoteWithdrawn),
        _define(pricing.QuotePriced, Step.PRICE),
        _define(pricing.QuoteNeedsReview, Step.REQUIRE_REVIEW),
        _define(pricing.QuoteRejected, Step.REJECT),
        _define(pricing.QuoteFailed, Step.FAIL_PRICE),
        _define(pricing.QuoteCancelled),
        _define(crm.OrderReleased, Step.RELEASE),
        _define(crm.OrderApproved, Step.APPROVE),
        _define(crm.OrderRejected, Step.REJECT),
        _define(crm.OrderClosed, Step.CLOSE),
        _define(crm.OrderWithdrawn, Step.CANCEL),
        _define(crm.QuoteExpired, Step.EXPIRE),
        _define(crm.OrderHeld, Step.HOLD),
        _define(crm.OrderResumed, Step.RESUME),
        _define(mes.ProductionStarted, Step.CLAIM),
        _define(mes.ProductionCompleted, Step.COMPLETE),
        _define(mes.ProductionPackaged, Step.PACKAGE),
        _define(mes.ProductionShipped, Step.SHIP),
        _define(mes.ReworkOrdered, Step.REWORK),
        _define(mes.ProductionHeld, Step.HOLD),
        _define(mes.ProductionResumed, Step.RESUME),
    ]
)


def payload(event: CloudEvent) -> EventData | None:
    """Return the data of an event, or None if its type is unknown to this version.

    Raises pydantic's ValidationError for a known type with missing or invalid members.
    """
    entry = EVENTS.get(event.type)
    return entry.model.model_validate(event.data) if entry else None
